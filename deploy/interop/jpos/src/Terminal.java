import java.io.IOException;
import java.net.SocketTimeoutException;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.jpos.iso.BaseChannel;
import org.jpos.iso.ISOException;
import org.jpos.iso.ISOMsg;
import org.jpos.iso.ISOUtil;

/**
 * A POS or an acquirer on jPOS: it sends purchases over several connections, one at a time on
 * each, checks every answer, and reverses some.
 *
 * <p>Terminal --connect HOST:PORT [--format ascii|bcd] [--tpdu HEX] [--connections 4]
 * [--requests 100] [--reverse-every 0] [--balance-every 0] [--sign-on no|yes] [--amount 0]
 * [--bin 622260] [--acquirer 10000001] [--merchant 898000000000001] [--terminal J]
 * [--reversal 0420] [--timeout 10000]; prints what came of it as JSON and ends with status 1
 * when an answer was wrong. --requests counts the purchases of all connections; --amount 0 takes
 * amounts by counting, from 1.00 on. A purchase without an answer in time is reversed, and the
 * reversal repeated twice at most.
 */
public final class Terminal {
    private static final int WRONG_MAX = 10;
    private static final int REPEATS_MAX = 3;
    private static final int[] SAME = {3, 4, 7, 37, 41};

    private final Args args;
    private final Wire wire;
    private final AtomicInteger turn = new AtomicInteger();
    private final AtomicInteger traces = new AtomicInteger();

    private final List<String> wrong = new ArrayList<>();
    private final Map<String, Integer> codes = new TreeMap<>();
    private int answered;
    private int approved;
    private int reversed;
    private int timeouts;
    private int late;
    private long approvedMinor;
    private long reversedMinor;

    private Terminal(Args args) {
        this.args = args;
        wire = Wire.of(args);
    }

    /** Runs all requests. */
    public static void main(String[] argv) throws Exception {
        Terminal t = new Terminal(new Args(argv, "connect", "format", "tpdu", "connections",
            "requests", "reverse-every", "balance-every", "sign-on", "amount", "bin", "acquirer",
            "merchant", "terminal", "reversal", "timeout"));
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < t.args.number("connections", 4); i++) {
            int number = i;
            threads.add(Thread.ofPlatform().start(() -> t.lane(number)));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println(t.report());
        System.exit(t.wrong.isEmpty() ? 0 : 1);
    }

    private synchronized Json report() {
        return new Json().put("answered", answered).put("approved", approved).put("codes", codes)
            .put("timeouts", timeouts).put("late", late)
           .put("reversed", reversed)
            .put("approved_minor", approvedMinor).put("reversed_minor", reversedMinor)
            .put("wrong", wrong);
    }

    /** One connection from its first to its last request. */
    private void lane(int number) {
        try {
            BaseChannel c = wire.channel(args.host("connect"), args.port("connect"));
            c.setTimeout(args.number("timeout", 10_000));
            c.connect();
            if (!c.isConnected()) {
                throw new IOException("not connected");
            }
            if (args.text("sign-on", "no").equals("yes")) {
                management(c, number, "001");
            }
            int requests = args.number("requests", 100);
            for (int i = turn.getAndIncrement(); i < requests; i = turn.getAndIncrement()) {
                one(c, number, i);
            }
            if (args.text("sign-on", "no").equals("yes")) {
                management(c, number, "002");
            }
            c.disconnect();
        } catch (Exception | LinkageError e) {
            fault("connection " + number + ": " + e);
        }
    }

    private void one(BaseChannel c, int lane, int i) throws IOException, ISOException {
        int every = args.number("balance-every", 0);
        if (every > 0 && i % every == every - 1) {
            ISOMsg m = request("0200", lane, "310000");
            exchange(c, m);
            return;
        }
        ISOMsg m = request("0200", lane, "000000");
        long amount = args.number("amount", 0);
        m.set(4, ISOUtil.zeropad(Long.toString(amount > 0 ? amount : 100 + i), 12));
        m.set(2, card(args.text("bin", "622260"), i));
        ISOMsg answer = exchange(c, m);
        every = args.number("reverse-every", 0);
        boolean late = answer == null;
        boolean chosen = every > 0 && i % every == every - 1 && approved(answer);
        if (late || chosen) {
            reverse(c, m, chosen);
        }
    }

    private static boolean approved(ISOMsg answer) {
        return answer != null && "00".equals(answer.getString(39));
    }

    /** Sends the reversal until it is answered, the first time as it is, then as a repeat. */
    private void reverse(BaseChannel c, ISOMsg m, boolean counted)
        throws IOException, ISOException {
        ISOMsg r = (ISOMsg) m.clone();
        String mti = args.text("reversal", "0420");
        r.setMTI(mti);
        r.set(11, trace());
        r.set(90, m.getMTI() + m.getString(11) + m.getString(7)
            + ISOUtil.zeropad(m.getString(32), 11) + ISOUtil.zeropad("", 11));
        for (int i = 0; i < REPEATS_MAX; i++) {
            ISOMsg answer = exchange(c, r);
            if (answer != null) {
                String code = answer.getString(39);
                if (!code.equals("00") && !code.equals("25")) {
                    fault("reversal answered with " + code);
                } else if (counted) {
                    reversed(Long.parseLong(m.getString(4)));
                }
                return;
            }
            r.setMTI(mti.substring(0, 3) + "1");
        }
        fault("reversal without an answer");
    }

    private void management(BaseChannel c, int lane, String code)
        throws IOException, ISOException {
        ISOMsg m = new ISOMsg("0800");
        stamp(m);
        m.set(32, args.text("acquirer", "10000001"));
        m.set(41, terminal(lane));
        m.set(70, code);
        ISOMsg answer = exchange(c, m);
        if (!approved(answer)) {
            fault("management " + code + " refused");
        }
    }

    private ISOMsg request(String mti, int lane, String code) throws ISOException {
        ISOMsg m = new ISOMsg(mti);
        stamp(m);
        m.set(2, card(args.text("bin", "622260"), 0));
        m.set(3, code);
        m.set(14, "3012");
        m.set(18, "4111");
        m.set(22, "071");
        m.set(25, "00");
        m.set(32, args.text("acquirer", "10000001"));
        m.set(37, "0" + m.getString(7).substring(4) + m.getString(11).substring(1));
        m.set(41, terminal(lane));
        m.set(42, args.text("merchant", "898000000000001"));
        m.set(49, "156");
        return m;
    }

    private void stamp(ISOMsg m) throws ISOException {
        LocalDateTime now = LocalDateTime.now(ZoneOffset.UTC);
        m.set(7, now.format(DateTimeFormatter.ofPattern("MMddHHmmss")));
        m.set(11, trace());
        m.set(12, now.format(DateTimeFormatter.ofPattern("HHmmss")));
        m.set(13, now.format(DateTimeFormatter.ofPattern("MMdd")));
    }

    private String trace() throws ISOException {
        return ISOUtil.zeropad(Integer.toString(traces.incrementAndGet() % 1_000_000), 6);
    }

    private String terminal(int lane) {
        return args.text("terminal", "J") + String.format("%07d", lane + 1);
    }

    /** A made-up card number with its check digit. */
    private static String card(String bin, int i) {
        String body = bin + String.format("%0" + (15 - bin.length()) + "d", i % 10_000);
        int sum = 0;
        for (int at = 0; at < body.length(); at++) {
            int d = body.charAt(at) - '0';
            if (at % 2 == 0) {
                d = d * 2 > 9 ? d * 2 - 9 : d * 2;
            }
            sum += d;
        }
        return body + (10 - sum % 10) % 10;
    }

    /**
     * Sends and takes the answer. Answers to what is no longer waited for are counted and left
     * out. Null when none comes in time; the channel has closed then and is opened again.
     */
    private ISOMsg exchange(BaseChannel c, ISOMsg m) throws IOException, ISOException {
        c.send(m);
        ISOMsg answer;
        try {
            answer = c.receive();
            while (!m.getString(11).equals(answer.getString(11))) {
                late();
                answer = c.receive();
            }
        } catch (SocketTimeoutException e) {
            timedOut();
            c.reconnect();
            return null;
        }
        ISOMsg want = (ISOMsg) m.clone();
        want.setResponseMTI();
        if (!want.getMTI().equals(answer.getMTI())) {
            fault("answer " + answer.getMTI() + " to " + m.getMTI());
        }
        for (int f : SAME) {
            boolean both = m.hasField(f) && answer.hasField(f);
            if (both && !m.getString(f).equals(answer.getString(f))) {
                fault("field " + f + " of the answer to " + m.getMTI() + " is another");
            }
        }
        note(m, answer);
        return answer;
    }

    private synchronized void note(ISOMsg m, ISOMsg answer) throws ISOException {
        String code = answer.getString(39);
        answered++;
        codes.merge(m.getMTI() + " " + code, 1, Integer::sum);
        if (code == null) {
            fault("answer to " + m.getMTI() + " without field 39");
        }
        if (m.getMTI().equals("0200") && m.hasField(4) && approved(answer)) {
            approved++;
            approvedMinor += Long.parseLong(m.getString(4));
            if (!answer.hasField(4)) {
                fault("approval without field 4");
            }
        }
    }

    private synchronized void reversed(long amount) {
        reversed++;
        reversedMinor += amount;
    }

    private synchronized void late() {
        late++;
    }

    private synchronized void timedOut() {
        timeouts++;
    }

    private synchronized void fault(String what) {
        if (wrong.size() < WRONG_MAX) {
            wrong.add(what);
        }
    }
}

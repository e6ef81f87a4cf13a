import java.io.IOException;
import java.net.ServerSocket;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.jpos.core.SimpleConfiguration;
import org.jpos.iso.BaseChannel;
import org.jpos.iso.ISOException;
import org.jpos.iso.ISOMsg;
import org.jpos.iso.ISORequestListener;
import org.jpos.iso.ISOServer;
import org.jpos.iso.ISOSource;
import org.jpos.iso.ISOUtil;

/**
 * A bank on jPOS: it answers sign-on, sign-off and echo, authorizations, purchases, refunds and
 * advices, balances and reversals, and keeps books. Amounts that end in the digits of
 * --decline-cents are declined with code 51; those that end in --mute-cents are booked and never
 * answered, so that the other side has to reverse them.
 *
 * <p>Bank [--listen 0] [--format ascii|bcd] [--tpdu HEX] [--decline-cents 51] [--mute-cents 98];
 * prints "ready PORT", serves until its standard input ends, and prints its books as JSON.
 */
public final class Bank implements ISORequestListener {
    private static final int SESSIONS_MAX = 256;
    private static final int[] ECHOED = {0, 2, 3, 4, 7, 11, 12, 13, 32, 33, 37, 41, 42, 49, 70};
    private static final Set<String> MANAGEMENT = Set.of("001", "002", "301");

    private final Books books = new Books();
    private final AtomicInteger approvals = new AtomicInteger();
    private final String declineCents;
    private final String muteCents;

    private Bank(Args args) {
        declineCents = args.text("decline-cents", "51");
        muteCents = args.text("mute-cents", "98");
    }

    /** Runs until standard input ends. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, "listen", "format", "tpdu", "decline-cents", "mute-cents");
        int port = args.number("listen", 0);
        if (port == 0) {
            try (ServerSocket free = new ServerSocket(0)) {
                port = free.getLocalPort();
            }
        }
        BaseChannel channel = Wire.of(args).channel(null, 0);
        ISOServer server = new ISOServer(port, channel, SESSIONS_MAX);
        SimpleConfiguration cfg = new SimpleConfiguration();
        cfg.put("bind-address", "127.0.0.1");
        server.setConfiguration(cfg);
        server.setName("bank");
        Bank bank = new Bank(args);
        server.addISORequestListener(bank);
        Thread thread = new Thread(server);
        thread.setDaemon(true);
        thread.start();
        while (!listens(port)) {
            ISOUtil.sleep(10);
        }
        System.out.println("ready " + port);
        System.in.transferTo(java.io.OutputStream.nullOutputStream());
        System.out.println(bank.books.report());
        System.exit(0);
    }

    private static boolean listens(int port) {
        try (var probe = new java.net.Socket("127.0.0.1", port)) {
            return probe.isConnected();
        } catch (IOException e) {
            return false;
        }
    }

    @Override
    public boolean process(ISOSource source, ISOMsg m) {
        try {
            books.received(m.getMTI());
            ISOMsg answer = (ISOMsg) m.clone(ECHOED);
            answer.setResponseMTI();
            turn(answer);
            String code = decide(m, answer);
            if (code.isEmpty()) {
                books.muted();
                return true;
            }
            if (!code.equals("00")) {
                books.declined(code);
            }
            answer.set(39, code);
            source.send(answer);
        } catch (ISOException | IOException e) {
            System.err.println("not answered: " + e.getMessage());
        }
        return true;
    }

    /** The response code, or nothing for a request that gets no answer. */
    private String decide(ISOMsg m, ISOMsg answer) throws ISOException {
        char messageClass = m.getMTI().charAt(1);
        if (messageClass == '8') {
            return MANAGEMENT.contains(m.getString(70)) ? "00" : "40";
        }
        if (messageClass == '4') {
            String original = m.getString(90);
            return original == null ? "30" : books.reverse(original) ? "00" : "25";
        }
        if (messageClass != '1' && messageClass != '2') {
            return "12";
        }
        if (!m.hasField(3) || !m.hasField(7) || !m.hasField(11)) {
            return "30";
        }
        answer.set(15, m.getString(7).substring(0, 4));
        if (m.getString(3).startsWith("31")) {
            answer.set(54, "1002156C000000100000");
            return "00";
        }
        return money(m, answer);
    }

    private String money(ISOMsg m, ISOMsg answer) throws ISOException {
        if (!m.hasField(4)) {
            return "30";
        }
        if (m.getString(4).endsWith(declineCents)) {
            return "51";
        }
        boolean credit = m.getString(3).startsWith("20");
        boolean repeat = m.getMTI().charAt(3) == '1';
        if (!books.book(m, credit) && !repeat) {
            return "94";
        }
        if (m.getString(4).endsWith(muteCents)) {
            return "";
        }
        answer.set(38, String.format("J%05d", approvals.incrementAndGet() % 100_000));
        return "00";
    }

    /** Swaps the addresses of a TPDU. */
    private static void turn(ISOMsg m) {
        byte[] h = m.getHeader();
        if (h != null && h.length == 5) {
            m.setHeader(new byte[] {h[0], h[3], h[4], h[1], h[2]});
        }
    }
}

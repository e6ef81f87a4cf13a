import java.nio.file.Path;
import org.jpos.iso.ISOServer;
import org.jpos.iso.ISOUtil;
import org.jpos.q2.Q2;
import org.jpos.q2.iso.QMUX;

/**
 * jPOS as a switch, for the benchmark: QServer takes requests of any number of connections, an
 * asynchronous QMUX sends them over one channel to the bank, and answers go back. It keeps no
 * state, computes no MAC, writes no log: what jPOS alone can do, in its fastest set-up.
 *
 * <p>Forwarder --listen PORT --bank HOST:PORT [--connections 1024] [--format ascii|bcd]
 * [--tpdu HEX] [--timeout MS] [--nagle none|bank|front|both] --deploy DIR; prints "ready" when it
 * forwards and ends when its standard input does. DIR holds the descriptors of forwarder/.
 *
 * <p>nagle says on which side small writes wait for the acknowledgement of those before, as they
 * do in jPOS unless it is told otherwise: more messages a second when many are under way, and
 * milliseconds to tens of them when few are.
 */
public final class Forwarder {
    private static final int READY_MAX_MS = 60_000;

    private Forwarder() { }

    /** Runs until standard input ends. */
    public static void main(String[] argv) throws Exception {
        Args args = new Args(argv, "listen", "bank", "connections", "format", "tpdu", "timeout",
            "nagle", "deploy");
        Wire wire = Wire.of(args);
        set("listen.port", args.text("listen", "0"));
        set("listen.sessions", args.text("connections", "1024"));
        set("bank.host", args.host("bank"));
        set("bank.port", Integer.toString(args.port("bank")));
        set("wire.channel", wire.channelClass());
        set("wire.packager", wire.packagerClass());
        set("wire.tpdu", wire.tpdu());
        set("relay.timeout", args.text("timeout", "10000"));
        String nagle = args.text("nagle", "none");
        set("bank.nagle", Boolean.toString(nagle.equals("bank") || nagle.equals("both")));
        set("front.nagle", Boolean.toString(nagle.equals("front") || nagle.equals("both")));
        Q2 q2 = new Q2(new String[] {"-d", Path.of(args.text("deploy", "forwarder")).toString(),
            "-Ns", "-Nd", "-Nf"});
        q2.start();
        if (!q2.ready(READY_MAX_MS) || !forwards()) {
            System.err.println("the forwarder is not ready: is the bank there?");
            System.exit(1);
        }
        System.out.println("ready");
        System.in.transferTo(java.io.OutputStream.nullOutputStream());
        Runtime.getRuntime().halt(0); // nothing is to be kept, and Q2 takes seconds to end
    }

    private static void set(String name, String value) {
        System.setProperty(name, value);
    }

    /** Waits until the bank's channel is connected and the server listens. */
    private static boolean forwards() throws Exception {
        for (int waited = 0; waited < READY_MAX_MS; waited += 10) {
            if (QMUX.getMUX("bank").isConnected() && listens()) {
                return true;
            }
            ISOUtil.sleep(10);
        }
        return false;
    }

    private static boolean listens() throws Exception {
        int port = ISOServer.getServer("front").getPort();
        try (var probe = new java.net.Socket("127.0.0.1", port)) {
            return probe.isConnected();
        } catch (java.io.IOException e) {
            return false;
        }
    }
}

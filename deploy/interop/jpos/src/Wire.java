import java.io.IOException;
import org.jpos.iso.BaseChannel;
import org.jpos.iso.ISOException;
import org.jpos.iso.ISOPackager;
import org.jpos.iso.packager.ISO87APackager;
import org.jpos.iso.packager.ISO87BPackager;

/**
 * The two forms in which the programs here speak: "ascii" is ISO 8583:1987 in ASCII behind four
 * digits of length, "bcd" the same in BCD behind two bytes of length and, when given, a TPDU.
 */
record Wire(String format, String tpdu) {
    static Wire of(Args args) {
        String format = args.text("format", "ascii");
        if (!format.equals("ascii") && !format.equals("bcd")) {
            System.err.println("--format is ascii or bcd");
            System.exit(2);
        }
        return new Wire(format, args.text("tpdu", ""));
    }

    String channelClass() {
        return (format.equals("ascii") ? AsciiWire.class : BinaryWire.class).getName();
    }

    String packagerClass() {
        return (format.equals("ascii") ? ISO87APackager.class : ISO87BPackager.class).getName();
    }

    private ISOPackager packager() {
        return format.equals("ascii") ? new ISO87APackager() : new ISO87BPackager();
    }

    /** A channel that listens (host null) or is to connect. */
    BaseChannel channel(String host, int port) throws IOException, ISOException {
        BaseChannel c = format.equals("ascii") ? new AsciiWire() : new BinaryWire();
        c.setPackager(packager());
        if (!tpdu.isEmpty()) {
            c.setHeader(tpdu);
        }
        if (host != null) {
            c.setHost(host, port);
        }
        return c;
    }
}

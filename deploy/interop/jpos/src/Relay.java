import java.io.IOException;
import org.jpos.core.Configurable;
import org.jpos.core.Configuration;
import org.jpos.iso.ISOException;
import org.jpos.iso.ISOMsg;
import org.jpos.iso.ISORequestListener;
import org.jpos.iso.ISOResponseListener;
import org.jpos.iso.ISOSource;
import org.jpos.iso.MUX;
import org.jpos.q2.iso.QMUX;

/**
 * Hands each request to the multiplexer and each answer to the connection that asked. No thread
 * waits for an answer. Requests that cannot be forwarded, and those without an answer, are
 * dropped: the load generator counts them.
 */
public final class Relay implements ISORequestListener, ISOResponseListener, Configurable {
    private volatile MUX mux;
    private long timeout;

    @Override
    public void setConfiguration(Configuration cfg) {
        timeout = cfg.getLong("timeout");
    }

    @Override
    public boolean process(ISOSource source, ISOMsg request) {
        try {
            if (mux == null) {
                mux = QMUX.getMUX("bank");
            }
            mux.request(request, timeout, this, source);
        } catch (Exception e) {
            System.err.println("not forwarded: " + e.getMessage());
        }
        return true;
    }

    @Override
    public void responseReceived(ISOMsg answer, Object source) {
        try {
            ((ISOSource) source).send(answer);
        } catch (IOException | ISOException e) {
            System.err.println("not answered: " + e.getMessage());
        }
    }

    @Override
    public void expired(Object source) {
        System.err.println("no answer of the bank");
    }
}

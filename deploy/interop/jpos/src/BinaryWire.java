import java.io.IOException;
import org.jpos.core.Configuration;
import org.jpos.core.ConfigurationException;
import org.jpos.iso.channel.NACChannel;

/**
 * jPOS's channel of two bytes of length and a TPDU if one is set. Nagle's delay, which jPOS
 * leaves on, is off unless the property nagle is true.
 */
public class BinaryWire extends NACChannel {
    private boolean nagle;

    @Override
    public void setConfiguration(Configuration cfg) throws ConfigurationException {
        super.setConfiguration(cfg);
        nagle = cfg.getBoolean("nagle", false);
    }

    @Override
    protected void postConnectHook() throws IOException {
        getSocket().setTcpNoDelay(!nagle);
    }
}

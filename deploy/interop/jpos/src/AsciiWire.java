import java.io.IOException;
import org.jpos.core.Configuration;
import org.jpos.core.ConfigurationException;
import org.jpos.iso.channel.ASCIIChannel;

/**
 * jPOS's channel of four ASCII digits of length. Nagle's delay, which jPOS
 * leaves on, is off unless the property nagle is true.
 */
public class AsciiWire extends ASCIIChannel {
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

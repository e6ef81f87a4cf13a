import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** Command line of the form --name value. An unknown name ends the program with status 2. */
final class Args {
    private final Map<String, String> values = new HashMap<>();

    Args(String[] argv, String... names) {
        Set<String> known = Set.of(names);
        for (int i = 0; i < argv.length; i += 2) {
            String name = argv[i].startsWith("--") ? argv[i].substring(2) : "";
            if (!known.contains(name) || i + 1 == argv.length) {
                throw usage("unknown or without a value: " + argv[i], names);
            }
            values.put(name, argv[i + 1]);
        }
    }

    private static RuntimeException usage(String why, String[] names) {
        System.err.println(why + "; options: --" + String.join(" V --", names) + " V");
        System.exit(2);
        return new IllegalArgumentException(why);
    }

    String text(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }

    int number(String name, int otherwise) {
        return Integer.parseInt(text(name, Integer.toString(otherwise)));
    }

    /** The host of an option host:port. */
    String host(String name) {
        String v = text(name, "");
        return v.substring(0, Math.max(0, v.lastIndexOf(':')));
    }

    /** The port of an option host:port. */
    int port(String name) {
        String v = text(name, ":0");
        return Integer.parseInt(v.substring(v.lastIndexOf(':') + 1));
    }
}

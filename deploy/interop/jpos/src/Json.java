import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;

/** What a program has counted, printed as one line of JSON. */
final class Json {
    private final Map<String, Object> members = new LinkedHashMap<>();

    Json put(String name, Object value) {
        members.put(name, value);
        return this;
    }

    @Override
    public String toString() {
        return text(members);
    }

    private static String text(Object value) {
        return switch (value) {
            case Map<?, ?> m -> "{" + String.join(",", m.entrySet().stream()
                .map(e -> quoted(e.getKey().toString()) + ":" + text(e.getValue())).toList()) + "}";
            case Collection<?> c -> "[" + String.join(",", c.stream().map(Json::text).toList())
                + "]";
            case String s -> quoted(s);
            default -> value.toString();
        };
    }

    private static String quoted(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                b.append('\\').append(c);
            } else if (c < ' ') {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        return b.append('"').toString();
    }
}

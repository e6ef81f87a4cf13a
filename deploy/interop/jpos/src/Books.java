import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.jpos.iso.ISOMsg;

/**
 * What the bank has done, so that it can be held against what the switch believes. A
 * transaction is known by transmission time and trace number, as field 90 names it. Amounts are
 * minor units. All methods may be called from any thread.
 */
final class Books {
    private record Entry(boolean credit, long amount, boolean reversed) { }

    private final Map<String, Entry> entries = new HashMap<>();
    private final Map<String, Integer> messages = new TreeMap<>();
    private final Map<String, Integer> declined = new TreeMap<>();
    private long debitMinor;
    private long creditMinor;
    private long reversedMinor;
    private int approved;
    private int reversals;
    private int muted;
    private int duplicates;
    private int unknownReversals;

    synchronized void received(String mti) {
        messages.merge(mti, 1, Integer::sum);
    }

    synchronized void declined(String code) {
        declined.merge(code, 1, Integer::sum);
    }

    synchronized void muted() {
        muted++;
    }

    /** Books an amount; false when the transaction is booked already. */
    synchronized boolean book(ISOMsg m, boolean credit) {
        long amount = Long.parseLong(m.getString(4));
        String key = m.getString(7) + m.getString(11);
        if (entries.putIfAbsent(key, new Entry(credit, amount, false)) != null) {
            duplicates++;
            return false;
        }
        approved++;
        if (credit) {
            creditMinor += amount;
        } else {
            debitMinor += amount;
        }
        return true;
    }

    /** Reverses what field 90 names, once; false when it is not in the books. */
    synchronized boolean reverse(String original) {
        String key = original.substring(10, 20) + original.substring(4, 10);
        Entry e = entries.get(key);
        if (e == null) {
            unknownReversals++;
            return false;
        }
        if (!e.reversed) {
            entries.put(key, new Entry(e.credit, e.amount, true));
            reversals++;
            reversedMinor += e.credit ? -e.amount : e.amount;
        }
        return true;
    }

    /** The counts; reversedMinor is what reversals took from debits less credits. */
    synchronized Json report() {
        return new Json().put("messages", messages).put("approved", approved)
            .put("declined", declined).put("muted", muted).put("duplicates", duplicates)
            .put("reversals", reversals).put("unknown_reversals", unknownReversals)
            .put("debit_minor", debitMinor).put("credit_minor", creditMinor)
            .put("reversed_minor", reversedMinor);
    }
}

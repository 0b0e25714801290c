import com.google.gson.stream.JsonReader;
import io.siddhi.core.SiddhiAppRuntime;
import io.siddhi.core.SiddhiManager;
import io.siddhi.core.event.Event;
import io.siddhi.core.stream.input.InputHandler;
import io.siddhi.core.stream.output.StreamCallback;
import java.io.StringReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;

/** W1 with Siddhi: each first event's first second one, partitioned by device and app. */
public final class SiddhiPattern {
    private static final Set<String> TROUBLE = Set.of("app.crash", "exec.anomaly", "security.context");
    private static final String APP =
            "@app:playback "
                    + "define stream Events (kind string, who string, score double); "
                    + "partition with (who of Events) begin "
                    + "from every a=Events[score >= 4.0] -> b=Events[score < 0.0] within 300 sec "
                    + "select a.who as who insert into Matches; "
                    + "end;";

    public static void main(String[] arguments) throws Exception {
        List<String> lines = Files.readAllLines(Path.of(arguments[0]));
        AtomicLong matches = new AtomicLong();
        SiddhiAppRuntime runtime = new SiddhiManager().createSiddhiAppRuntime(APP);
        runtime.addCallback(
                "Matches",
                new StreamCallback() {
                    @Override
                    public void receive(Event[] events) {
                        matches.addAndGet(events.length);
                    }
                });
        InputHandler input = runtime.getInputHandler("Events");
        runtime.start();
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = system.getProcessCpuTime();
        long wall = System.nanoTime();
        for (String line : lines) {
            String kind = null;
            String device = null;
            String app = null;
            long time = 0;
            double score = -1;
            try (JsonReader reader = new JsonReader(new StringReader(line))) {
                reader.beginObject();
                while (reader.hasNext()) {
                    switch (reader.nextName()) {
                        case "kind": kind = reader.nextString(); break;
                        case "device": device = reader.nextString(); break;
                        case "app": app = reader.nextString(); break;
                        case "time": time = reader.nextLong(); break;
                        case "score": score = reader.nextDouble(); break;
                        default: reader.skipValue();
                    }
                }
            }
            // What fits nothing is dropped before the engine: our filter, most of its speed.
            if (score >= 4 || TROUBLE.contains(kind)) {
                input.send(time, new Object[] {kind, device + " " + app, score});
            }
        }
        System.out.printf(
                "%n{\"count\":%d,\"cpu\":%f,\"wall\":%f}%n",
                matches.get(), (system.getProcessCpuTime() - cpu) / 1e9, (System.nanoTime() - wall) / 1e9);
        System.exit(0);
    }
}

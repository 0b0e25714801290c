import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.core.fs.Path;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/** W1 with Flink's CEP library in a mini cluster: every pair, or each first event's first second one. */
public final class FlinkCep {
    /** The fields that the pattern reads; public, so that Flink treats it as a POJO. */
    public static class Event {
        public String kind;
        public String device;
        public String app;
        public long time;
        public double score = -1;
        public String key;
    }

    /** JSON to events; with the filter, only those that fit a step. */
    public static class Read extends RichFlatMapFunction<String, Event> {
        private static final Set<String> TROUBLE = Set.of("app.crash", "exec.anomaly", "security.context");
        private final boolean filter;
        private transient JsonFactory json;

        public Read(boolean filter) {
            this.filter = filter;
        }

        @Override
        public void open(OpenContext context) {
            json = new JsonFactory();
        }

        @Override
        public void flatMap(String line, Collector<Event> out) throws Exception {
            Event event = new Event();
            try (JsonParser parser = json.createParser(line)) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String name = parser.getCurrentName();
                    parser.nextToken();
                    switch (name) {
                        case "kind": event.kind = parser.getText(); break;
                        case "device": event.device = parser.getText(); break;
                        case "app": event.app = parser.getText(); break;
                        case "time": event.time = parser.getLongValue(); break;
                        case "score": event.score = parser.getDoubleValue(); break;
                        default: parser.skipChildren();
                    }
                }
            }
            if (filter && event.score < 4 && !TROUBLE.contains(event.kind)) {
                return;
            }
            event.key = event.device + " " + event.app;
            out.collect(event);
        }
    }

    /** Counts. */
    public static class Count extends PatternProcessFunction<Event, Long> {
        /** The mini cluster runs in this process. */
        static final AtomicLong MATCHES = new AtomicLong();

        @Override
        public void processMatch(Map<String, List<Event>> match, Context context, Collector<Long> out) {
            MATCHES.incrementAndGet();
        }
    }

    public static void main(String[] arguments) throws Exception {
        boolean every = arguments[1].equals("all");
        boolean filter = arguments[2].equals("filter");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1);
        environment.getConfig().enableObjectReuse();
        FileSource<String> source =
                FileSource.forRecordStreamFormat(new TextLineInputFormat(), new Path(arguments[0])).build();
        DataStream<Event> events =
                environment
                        .fromSource(source, WatermarkStrategy.noWatermarks(), "lines")
                        .flatMap(new Read(filter))
                        .assignTimestampsAndWatermarks(
                                WatermarkStrategy.<Event>forMonotonousTimestamps()
                                        .withTimestampAssigner((event, previous) -> event.time))
                        .keyBy(event -> event.key);
        SimpleCondition<Event> deviates = SimpleCondition.of(event -> event.score >= 4);
        SimpleCondition<Event> trouble = SimpleCondition.of(event -> Read.TROUBLE.contains(event.kind));
        Pattern<Event, Event> start = Pattern.<Event>begin("a").where(deviates);
        Pattern<Event, Event> pattern =
                (every ? start.followedByAny("b") : start.followedBy("b")).where(trouble);
        // Its window is exclusive, so a pair exactly 300 s apart needs a millisecond more.
        CEP.pattern(events, pattern.within(Duration.ofMillis(300_001))).process(new Count()).sinkTo(new DiscardingSink<>());
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long cpu = system.getProcessCpuTime();
        long wall = System.nanoTime();
        environment.execute();
        System.out.printf(
                "%n{\"count\":%d,\"cpu\":%f,\"wall\":%f}%n",
                Count.MATCHES.get(),
                (system.getProcessCpuTime() - cpu) / 1e9,
                (System.nanoTime() - wall) / 1e9);
        System.exit(0);
    }
}

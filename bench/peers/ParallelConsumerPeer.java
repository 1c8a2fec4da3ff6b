import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Confluent's Parallel Consumer as its README uses it, with a handler that waits.
 *
 * <p>ParallelConsumerPeer SERVERS TOPIC GROUP COUNT ORDERING CONCURRENCY WAIT_MS
 *
 * <p>ORDERING is PARTITION, KEY or UNORDERED; all that it has a default for has it (commits are
 * periodic and asynchronous). Prints one line of JSON when all events are handled and committed.
 */
public final class ParallelConsumerPeer {
    private static final AtomicInteger handled = new AtomicInteger();
    private static final AtomicInteger distinct = new AtomicInteger();
    private static final AtomicInteger outOfOrder = new AtomicInteger();
    private static final AtomicLong began = new AtomicLong();
    private static final AtomicLong ended = new AtomicLong();
    private static final Map<String, Long> lastOffset = new ConcurrentHashMap<>();
    private static final Set<Long> seen = ConcurrentHashMap.newKeySet();
    private static final CountDownLatch done = new CountDownLatch(1);

    public static void main(String[] args) throws Exception {
        int count = Integer.parseInt(args[3]);
        ProcessingOrder ordering = ProcessingOrder.valueOf(args[4]);
        long waitNs = (long) (Double.parseDouble(args[6]) * 1_000_000);
        var consumer = new KafkaConsumer<>(
                Map.<String, Object>of(
                        "bootstrap.servers", args[0],
                        "group.id", args[2],
                        "enable.auto.commit", false,
                        "auto.offset.reset", "earliest",
                        "isolation.level", "read_committed"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
        var options = ParallelConsumerOptions.<byte[], byte[]>builder()
                .ordering(ordering)
                .maxConcurrency(Integer.parseInt(args[5]))
                .consumer(consumer)
                .build();
        var processor = ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(args[1]));
        processor.poll(context -> {
            began.compareAndSet(0, System.nanoTime());
            sleep(ThreadLocalRandom.current().nextLong(waitNs + 1));
            var record = context.getSingleConsumerRecord();
            check(record, ordering);
            handled.incrementAndGet();
            if (seen.add(record.offset()) && distinct.incrementAndGet() == count) {
                ended.set(System.nanoTime());
                done.countDown();
            }
        });
        done.await();
        processor.closeDrainFirst();
        report();
    }

    private static void sleep(long nanoseconds) {
        try {
            Thread.sleep(Duration.ofNanos(nanoseconds));
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Count events that overtook one of their key, or of their partition. */
    private static void check(ConsumerRecord<byte[], byte[]> record, ProcessingOrder ordering) {
        if (ordering == ProcessingOrder.UNORDERED) {
            return;
        }
        String lane = ordering == ProcessingOrder.KEY
                ? new String(record.key(), StandardCharsets.UTF_8)
                : Integer.toString(record.partition());
        Long before = lastOffset.put(lane, record.offset());
        if (before != null && before > record.offset()) {
            outOfOrder.incrementAndGet();
        }
    }

    private static void report() throws Exception {
        var system = (com.sun.management.OperatingSystemMXBean)
                ManagementFactory.getOperatingSystemMXBean();
        System.out.printf(
                Locale.ROOT,
                "{\"handled\": %d, \"seconds\": %.4f, \"cpu_s\": %.3f, \"rss_mb\": %.1f, "
                        + "\"out_of_order\": %d}%n",
                handled.get(),
                (ended.get() - began.get()) / 1e9,
                system.getProcessCpuTime() / 1e9,
                peakMemoryMb(),
                outOfOrder.get());
    }

    private static double peakMemoryMb() throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Double.parseDouble(line.replaceAll("[^0-9]", "")) / 1024;
            }
        }
        return 0;
    }
}

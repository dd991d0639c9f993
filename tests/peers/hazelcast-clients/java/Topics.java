import com.hazelcast.core.HazelcastInstance;
import com.hazelcast.topic.ITopic;
import com.hazelcast.topic.Message;
import com.hazelcast.topic.ReliableMessageListener;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;

/** Topics and reliable topics. */
final class Topics {
    private Topics() {}

    private interface Body {
        void run(Case it, Source source) throws Exception;
    }

    private interface Source {
        ITopic<Object> of(HazelcastInstance client, String name);
    }

    private static void add(String name, Body body) {
        Main.add("topic." + name, it -> body.run(it, HazelcastInstance::getTopic));
        Main.add("reliable-topic." + name, it -> body.run(it, HazelcastInstance::getReliableTopic));
    }

    static void add() {
        add("publish", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            Case.Events events = new Case.Events();
            UUID id = topic.addMessageListener(message -> events.add(message.getMessageObject()));
            topic.publish("a");
            topic.publish(1);
            topic.publishAsync(2L).toCompletableFuture().get();
            it.events(events, 3);
            it.see(() -> topic.removeMessageListener(id));
            it.see(() -> topic.removeMessageListener(id));
            topic.publish("b");
            it.events(events, 3);
        });
        add("without-listener", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            it.act(() -> topic.publish("a"));
            Case.Events events = new Case.Events();
            topic.addMessageListener(message -> events.add(message.getMessageObject()));
            topic.publish("b");
            it.events(events, 1);
        });
        add("several-clients", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            ITopic<Object> other = source.of(it.another(), it.fresh());
            Case.Events one = new Case.Events();
            Case.Events two = new Case.Events();
            topic.addMessageListener(message -> one.add(message.getMessageObject()));
            topic.addMessageListener(message -> one.add(message.getMessageObject()));
            other.addMessageListener(message -> two.add(message.getMessageObject()));
            topic.publish(1);
            it.eventsOfKeys(one, 2);
            it.eventsOfKeys(two, 1);
            other.publish(2);
            it.eventsOfKeys(one, 4);
            it.eventsOfKeys(two, 2);
        });
        add("order", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            Case.Events events = new Case.Events();
            topic.addMessageListener(message -> events.add(message.getMessageObject()));
            for (int number = 0; number < 200; number++) {
                topic.publish(number);
            }
            it.events(events, 200);
        });
        add("publish-all", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            Case.Events events = new Case.Events();
            topic.addMessageListener(message -> events.add(message.getMessageObject()));
            it.act(() -> topic.publishAll(List.of(1, 2, 3)));
            it.act(() -> topic.publishAll(List.of()));
            it.act(() -> topic.publishAllAsync(List.of(4)).toCompletableFuture().get());
            it.eventsOfKeys(events, 4);
        });
        add("message", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            Case.Events events = new Case.Events();
            long before = System.currentTimeMillis() - 60_000;
            topic.addMessageListener(message -> events.add(message.getPublishTime() > before,
                    message.getSource().equals(it.fresh()), message.getPublishingMember() != null));
            topic.publish("a");
            it.events(events, 1);
        });
        add("null-arguments", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            it.act(() -> topic.publish(null));
            it.act(() -> topic.publishAll(null));
            it.act(() -> topic.publishAll(Arrays.asList(1, null)));
            it.see(() -> topic.addMessageListener(null));
            it.see(() -> topic.removeMessageListener(new UUID(1, 2)));
        });
        add("messages-of-all-kinds", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            Case.Events events = new Case.Events();
            topic.addMessageListener(message -> events.add(message.getMessageObject()));
            List<Object> messages = List.of("", new byte[0], "x".repeat(1_000_000), new Types.JavaPoint(1, 2),
                    new Types.CompactPerson("Ann", 1, true, null, null), new Types.PortablePerson("Bob", 2, true, 1));
            messages.forEach(topic::publish);
            it.events(events, messages.size());
        });
        add("destroy-and-use-again", (it, source) -> {
            ITopic<Object> topic = source.of(it.client(), it.fresh());
            it.act(() -> topic.publish("a"));
            it.act(topic::destroy);
            ITopic<Object> again = source.of(it.client(), it.fresh());
            Case.Events events = new Case.Events();
            again.addMessageListener(message -> events.add(message.getMessageObject()));
            again.publish("b");
            it.events(events, 1);
        });
        Main.add("reliable-topic.reads-from-a-sequence", it -> {
            ITopic<Object> topic = it.client().getReliableTopic(it.fresh());
            topic.publish("a");
            topic.publish("b");
            Case.Events events = new Case.Events();
            topic.addMessageListener(new ReliableMessageListener<Object>() {
                @Override
                public long retrieveInitialSequence() {
                    return 0;
                }

                @Override
                public void storeSequence(long sequence) {
                    events.add(sequence);
                }

                @Override
                public boolean isLossTolerant() {
                    return false;
                }

                @Override
                public boolean isTerminal(Throwable failure) {
                    return true;
                }

                @Override
                public void onMessage(Message<Object> message) {
                    events.add(message.getMessageObject());
                }
            });
            topic.publish("c");
            it.events(events, 6);
        });
        Main.add("reliable-topic.ringbuffer", it -> {
            ITopic<Object> topic = it.client().getReliableTopic(it.fresh());
            topic.publish("a");
            topic.publish("b");
            it.see(() -> it.client().getRingbuffer("_hz_rb_" + it.fresh()).tailSequence());
        });
    }
}

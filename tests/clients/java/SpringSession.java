import java.util.HashMap;
import java.util.Map;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.core.RedisTemplate;
import org.springframework.data.redis.serializer.RedisSerializer;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.SessionRepository;
import org.springframework.session.data.redis.RedisIndexedSessionRepository;
import org.springframework.session.data.redis.RedisSessionRepository;

/** Spring Session: sessions with changing ids. The argument is the repository: default, indexed. */
public final class SpringSession {
    private SpringSession() {}

    public static void main(String[] arguments) throws Exception {
        var factory = new LettuceConnectionFactory(Job.HOST, Job.ports().get(0));
        factory.afterPropertiesSet();
        factory.start();
        RedisTemplate<String, Object> template = new RedisTemplate<>();
        template.setConnectionFactory(factory);
        template.setKeySerializer(RedisSerializer.string());
        template.setHashKeySerializer(RedisSerializer.string());
        template.afterPropertiesSet();
        if (arguments[0].equals("indexed")) {
            var sessions = new RedisIndexedSessionRepository(template);
            sessions.afterPropertiesSet();
            run(sessions, sessions);
        } else {
            run(new RedisSessionRepository(template), null);
        }
    }

    private static <S extends Session> void run(
            SessionRepository<S> sessions, FindByIndexNameSessionRepository<S> index) {
        Map<String, Integer> acknowledged = new HashMap<>();
        Job.run(n -> {
            S session = sessions.createSession();
            session.setAttribute("cart", n);
            sessions.save(session);
            // At a login, against session fixation.
            session.changeSessionId();
            session.setAttribute(FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME, "u" + n);
            sessions.save(session);
            acknowledged.put(session.getId(), n);
            S found = sessions.findById(session.getId());
            Job.check(found != null, "the session is not found by its new id");
            Job.check(found.getAttribute("cart").equals(n), "its attribute");
            if (index != null) {
                var ofUser = index.findByPrincipalName("u" + n);
                Job.check(ofUser.containsKey(session.getId()), "sessions of a user: " + ofUser);
            }
            if (n % 4 == 0) {
                sessions.deleteById(session.getId());
                acknowledged.remove(session.getId());
                Job.check(sessions.findById(session.getId()) == null, "a deleted session is found");
            }
        }, () -> {
            for (var entry : acknowledged.entrySet()) {
                S found = sessions.findById(entry.getKey());
                Job.check(found != null, "a session is lost");
                Job.check(entry.getValue().equals(found.getAttribute("cart")), "its attribute");
            }
        });
    }
}

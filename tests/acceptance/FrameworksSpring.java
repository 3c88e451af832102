// An application of Spring MVC as docs/how-to/backends/spring.md has it: FrameworksSpring PORT KEPT
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.springframework.http.HttpStatus;
import org.springframework.http.converter.json.MappingJackson2HttpMessageConverter;
import org.springframework.web.bind.annotation.*;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.servlet.DispatcherServlet;
import org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerAdapter;
import org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerMapping;

public class FrameworksSpring {
    static final List<Message> ROWS = Collections.synchronizedList(new ArrayList<>());
    static File kept;

    public static class Message {
        public int id;
        public String roomId, content, kind;
    }

    /** What @ModelAttribute binds from path, query and form fields. */
    public static class Asked {
        private String room;

        public String getRoom() {
            return room;
        }

        public void setRoom(String room) {
            this.room = room;
        }
    }

    @RestController
    @RequestMapping("/api")
    public static class Messages {
        @PostMapping("/messages")
        @ResponseStatus(HttpStatus.CREATED)
        public Message create(@RequestBody Message sent) throws Exception {
            ROWS.add(sent);
            sent.id = ROWS.size();
            return keep(sent);
        }

        @GetMapping("/messages/{id}")
        public Message show(@PathVariable("id") int id) {
            return ROWS.get(id - 1);
        }

        @RequestMapping(path = "/messages/{id}", method = {RequestMethod.PUT, RequestMethod.PATCH})
        public Message change(@PathVariable("id") int id, @RequestBody Message sent) throws Exception {
            Message row = ROWS.get(id - 1);
            row.content = sent.content;
            return keep(row);
        }

        @GetMapping("/rooms/{room}/messages")
        public Map<String, Object> list(@ModelAttribute Asked asked) {
            return Collections.singletonMap("content", ROWS.stream()
                .filter(row -> row.roomId.equals(asked.room)).collect(Collectors.toList()));
        }

        private static Message keep(Message row) throws Exception {
            new ObjectMapper().writeValue(kept, ROWS);
            return row;
        }
    }

    /** JSON, as `@EnableWebMvc` has it: what reads that does not run on this Java. */
    public static class Json extends RequestMappingHandlerAdapter {
        public Json() {
            setMessageConverters(Collections.singletonList(new MappingJackson2HttpMessageConverter()));
        }
    }

    public static void main(String[] arguments) throws Exception {
        kept = new File(arguments[1]);
        AnnotationConfigWebApplicationContext spring = new AnnotationConfigWebApplicationContext();
        spring.register(RequestMappingHandlerMapping.class, Json.class, Messages.class);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(kept.getParent());
        tomcat.setPort(Integer.parseInt(arguments[0]));
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", kept.getParent());
        Tomcat.addServlet(context, "spring", new DispatcherServlet(spring)).setLoadOnStartup(1);
        context.addServletMappingDecoded("/", "spring");
        tomcat.start();
        tomcat.getServer().await();
    }
}

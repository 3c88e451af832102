// A client of Java's library with Jackson, then Apache HttpClient: `URL`, to which both send JSON and a form.
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.http.client.entity.UrlEncodedFormEntity;
import org.apache.http.client.methods.HttpPost;
import org.apache.http.entity.ContentType;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.message.BasicNameValuePair;

public class Client {
    static final String TEXT = "caf\u00e9 \"q\" \\ / <b> & \ud83d\ude00";

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        Map<String, Object> message = Map.of("conversationId", "c1", "content", TEXT, "draft", false, "n", 1.0e10);
        ObjectMapper mapper = new ObjectMapper();
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        send(client, url + "/api/messages", "application/json",
            mapper.writerWithDefaultPrettyPrinter().writeValueAsString(message));
        String form = "content=" + URLEncoder.encode(TEXT, StandardCharsets.UTF_8) + "&title=a+b";
        send(client, url + "/posts", "application/x-www-form-urlencoded", form);
        try (var apache = HttpClients.createDefault()) {
            HttpPost post = new HttpPost(url + "/api/messages");
            post.setEntity(new StringEntity(mapper.writeValueAsString(message), ContentType.APPLICATION_JSON));
            apache.execute(post).close();
            post = new HttpPost(url + "/posts");
            post.setEntity(new UrlEncodedFormEntity(List.of(
                new BasicNameValuePair("content", TEXT), new BasicNameValuePair("title", "a b")), "UTF-8"));
            apache.execute(post).close();
        }
    }

    static void send(HttpClient client, String url, String type, String body) throws Exception {
        HttpRequest asked = HttpRequest.newBuilder(URI.create(url)).header("Content-Type", type)
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        client.send(asked, BodyHandlers.discarding());
    }
}

// The client of Java's own library before the backend: `URL CANARY TOKEN`. See test_clients.py.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Pattern;

public final class Client {
  private static String canary;
  private static String token;
  private static HttpClient client;

  public static void main(String[] given) throws Exception {
    String old = given[0] + "/api/v1/messages";
    String api = given[0] + "/api/v1/enhanced-messages";
    canary = given[1];
    token = given[2];
    client = HttpClient.newHttpClient();
    String text = canary + " \\\"q\\\" \\\\ / < > & \u00fc \\ud83c\\udf0d";
    String found = send("create", "POST", old, "{\"content\": \"" + text + "\", \"subject\": \"" + canary + "\"}");
    byte[] pieces = utf8("{\"content\": \"" + canary + " in pieces\"}");
    tell("in pieces", client.send(
        asked(old, "POST", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(pieces))).build(), BodyHandlers.ofByteArray()));
    tell("group", client.send(
        asked(api + "/group", "POST", BodyPublishers.ofString("{\"content\": \"" + text + "\", \"conversationId\": \"c1\"}"))
            .expectContinue(true).build(), BodyHandlers.ofByteArray()));
    send("edit", "PUT", api + "/" + number(found, "id"), "{\"content\": \"" + text + " edited\"}");
    send("invalid", "POST", old, "{\"content\": \"" + text + "\", \"priority\": \"high\"}");
    get("history", api + "/history");
    String boundary = "----boundary-of-the-tests";
    HttpRequest upload = HttpRequest.newBuilder(URI.create(api + "/upload"))
        .header("Authorization", "Bearer " + token)
        .header("Content-Type", "multipart/form-data; boundary=" + boundary)
        .POST(BodyPublishers.ofByteArray(form(boundary))).build();
    found = tell("upload", client.send(upload, BodyHandlers.ofByteArray()));
    get("download", api + "/files/" + number(found, "number"));
    get("events", old + "/events");
    List<CompletableFuture<HttpResponse<byte[]>>> together = new ArrayList<>();
    for (int one = 0; one < 16; one++) {
      BodyPublisher body = BodyPublishers.ofString("{\"content\": \"" + canary + " " + one + "\"}");
      together.add(client.sendAsync(asked(old, "POST", body).build(), BodyHandlers.ofByteArray()));
    }
    for (int one = 0; one < 16; one++) {
      tell("together " + one, together.get(one).get());
    }
  }

  private static HttpRequest.Builder asked(String url, String method, BodyPublisher body) {
    return HttpRequest.newBuilder(URI.create(url))
        .header("Authorization", "Bearer " + token)
        .header("Content-Type", "application/json")
        .method(method, body);
  }

  private static String send(String name, String method, String url, String body) throws Exception {
    return tell(name, client.send(asked(url, method, BodyPublishers.ofString(body)).build(), BodyHandlers.ofByteArray()));
  }

  private static void get(String name, String url) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(url)).header("Authorization", "Bearer " + token).build();
    tell(name, client.send(request, BodyHandlers.ofByteArray()));
  }

  private static String tell(String name, HttpResponse<byte[]> answer) {
    String kind = answer.headers().firstValue("content-type").orElse("");
    String body = Base64.getEncoder().encodeToString(answer.body());
    System.out.println(String.join("\t", name, String.valueOf(answer.statusCode()), kind, body));
    return new String(answer.body(), StandardCharsets.ISO_8859_1);
  }

  private static String number(String text, String member) {
    var found = Pattern.compile("\"" + member + "\":(\\d+)").matcher(text);
    if (!found.find()) {
      throw new IllegalStateException(text);
    }
    return found.group(1);
  }

  private static byte[] form(String boundary) throws Exception {
    ByteArrayOutputStream made = new ByteArrayOutputStream();
    String part = "--" + boundary + "\r\nContent-Disposition: form-data; name=";
    made.write(utf8(part + "\"note\"\r\n\r\none\r\n"));
    made.write(utf8(part + "\"files\"; filename=\"scan.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n"));
    for (int round = 0; round < 400; round++) {
      made.write(utf8(canary));
      for (int one = 0; one < 256; one++) {
        made.write(one);
      }
    }
    made.write(utf8("\r\n" + part + "\"files\"; filename=\"R\u00f6ntgen " + canary + ".txt\"\r\n"
        + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + canary + " \u00fc\r\n--" + boundary + "--\r\n"));
    return made.toByteArray();
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}

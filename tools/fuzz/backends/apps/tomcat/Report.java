import com.fasterxml.jackson.annotation.JsonAlias;
import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.Part;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reports what servlets and Jackson read of a request. */
public class Report extends HttpServlet {
  private static final ObjectMapper STRICT = new ObjectMapper();
  private static final ObjectMapper LENIENT =
      JsonMapper.builder()
          .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_PROPERTIES)
          .enable(JsonParser.Feature.ALLOW_COMMENTS)
          .enable(JsonParser.Feature.ALLOW_YAML_COMMENTS)
          .enable(JsonParser.Feature.ALLOW_SINGLE_QUOTES)
          .enable(JsonParser.Feature.ALLOW_UNQUOTED_FIELD_NAMES)
          .build();
  private static List<Map<String, Object>> routes;
  private static OutputStream record;

  /** What a document is bound to; the names are those of all routes. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class Message {
    private final Map<String, Object> set = new HashMap<>();

    @JsonAlias({"conversation_id", "conversation-id"})
    public void setConversationId(Object value) { set.put("conversationId", value); }
    public void setRoomId(Object value) { set.put("roomId", value); }
    public void setContent(Object value) { set.put("content", value); }
    public void setSubject(Object value) { set.put("subject", value); }
    public void setCard(Object value) { set.put("card", value); }
    public void setPhone(Object value) { set.put("phone", value); }
    public void setIban(Object value) { set.put("iban", value); }
    public void setKind(Object value) { set.put("kind", value); }
    public void setMessage(Object value) { set.put("message", value); }
    public void setAttachment(Object value) { set.put("attachment", value); }
    public void setUser(User value) { set.put("user", value); }
    public void setOrder(Order value) { set.put("order", value); }
    public void setMeta(Map<String, Object> value) { set.put("meta", value); }
  }

  /** A member of a member. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class User extends HashMap<String, Object> {
    public void setCard(Object value) { put("card", value); }
    public void setPhone(Object value) { put("phone", value); }
  }

  /** Another one. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public static class Order extends HashMap<String, Object> {
    public void setCard(Object value) { put("card", value); }
    public void setNote(Object value) { put("note", value); }
  }

  private static Object dig(Map<String, Object> bag, String name) {
    Object found = bag;
    for (String one : name.split("\\.")) {
      found = found instanceof Map<?, ?> inner ? inner.get(one) : null;
    }
    return found;
  }

  @Override
  @SuppressWarnings("unchecked")
  public synchronized void init() {
    try {
      if (record == null) {
        routes = STRICT.readValue(System.getProperty("contract"), List.class);
        record = new FileOutputStream(System.getProperty("record"), true);
      }
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }

  private static Map<String, Object> document(byte[] body) {
    try {
      JsonNode node = STRICT.readTree(body);
      return node != null && node.isObject() ? STRICT.convertValue(node, Map.class) : Map.of();
    } catch (IOException | RuntimeException error) {
      return Map.of();
    }
  }

  private static Map<String, Object> lenient(byte[] body) {
    try {
      return LENIENT.readValue(body, Message.class).set;
    } catch (IOException | RuntimeException error) {
      return Map.of();
    }
  }

  private static Map<String, Object> parameters(HttpServletRequest request) {
    Map<String, Object> found = new HashMap<>();
    request.getParameterMap().forEach((name, values) -> found.put(name, values[0]));
    return found;
  }

  private static Map<String, Object> parts(HttpServletRequest request) {
    Map<String, Object> found = new HashMap<>();
    try {
      String type = request.getContentType();
      if (type == null || !type.toLowerCase().startsWith("multipart/")) {
        return found;
      }
      Collection<Part> parts = request.getParts();
      for (Part part : parts) {
        String text = new String(part.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
        found.merge(part.getName(), text, (one, other) -> one + "\n" + other);
      }
    } catch (Exception error) {
      return found;
    }
    return found;
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> reading(
      Map<String, Object> route,
      String idiom,
      Map<String, Object> bag,
      HttpServletRequest request,
      String path) {
    String name = (String) route.get("conversation");
    Object conversation =
        switch ((String) route.get("source")) {
          case "json" -> dig(bag, name);
          case "query" -> request.getParameter(name);
          case "header" -> request.getHeader(name);
          case "path" -> path;
          default -> null;
        };
    Map<String, Object> values = new HashMap<>();
    for (String field : (List<String>) route.get("fields")) {
      Object value = field.startsWith("x-") ? request.getHeader(field) : dig(bag, field);
      if (value != null) {
        values.put(field, value);
      }
    }
    Map<String, Object> found = new HashMap<>();
    found.put("i", idiom);
    found.put("c", conversation);
    found.put("v", values);
    found.put("w", bag.get((String) route.get("when")));
    return found;
  }

  @Override
  @SuppressWarnings("unchecked")
  protected void service(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    String override = request.getHeader("X-HTTP-Method-Override");
    String method = override != null ? override.toUpperCase() : request.getMethod();
    String path = request.getServletPath() + (request.getPathInfo() == null ? "" : request.getPathInfo());
    for (Map<String, Object> route : routes) {
      String pattern = ((String) route.get("path")).replaceAll("\\{\\w+\\}", "([^/]+)");
      Matcher match = Pattern.compile(pattern + "/?").matcher(path);
      if (!method.equals(route.get("method")) || !match.matches()) {
        continue;
      }
      String type = request.getContentType() == null ? "" : request.getContentType().toLowerCase();
      boolean form = type.startsWith("application/x-www-form-urlencoded") || type.startsWith("multipart/");
      // Parameters of a form come from the body, which can then be read no more.
      byte[] body = form ? new byte[0] : request.getInputStream().readAllBytes();
      String name = match.groupCount() > 0 ? match.group(1) : null;
      List<Map<String, Object>> found = new ArrayList<>();
      found.add(reading(route, "parameter", parameters(request), request, name));
      found.add(reading(route, "parts", parts(request), request, name));
      found.add(reading(route, "jackson", document(body), request, name));
      found.add(reading(route, "lenient", lenient(body), request, name));
      if (type.contains("ndjson")) {
        for (String line : new String(body, StandardCharsets.UTF_8).split("\n")) {
          found.add(reading(route, "records", document(line.getBytes(StandardCharsets.UTF_8)), request, name));
        }
      }
      if (((List<String>) route.get("fields")).get(0).equals("body")) {
        Map<String, Object> whole = Map.of("body", new String(body, StandardCharsets.ISO_8859_1));
        found.add(reading(route, "body", whole, request, name));
      }
      byte[] line = STRICT.writeValueAsBytes(Map.of("h", route.get("name"), "r", found));
      synchronized (Report.class) {
        record.write(line);
        record.write('\n');
        record.flush();
      }
      response.setContentType("text/plain");
      response.getOutputStream().write(line);
      return;
    }
    response.sendError(404);
  }
}

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HexFormat;

/** Records what it is paid with; a method may be overridden, as Spring's filter allows. */
public class Pay extends HttpServlet {
  @Override
  protected void service(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    String override = request.getHeader("X-HTTP-Method-Override");
    String method = override != null ? override : request.getMethod();
    if (!method.equalsIgnoreCase("POST")) {
      response.sendError(405);
      return;
    }
    HexFormat hex = HexFormat.of();
    String query = request.getQueryString();
    String target = request.getRequestURI() + (query == null ? "" : "?" + query);
    String line =
        hex.formatHex(target.getBytes(StandardCharsets.UTF_8))
            + " "
            + hex.formatHex(request.getInputStream().readAllBytes())
            + "\n";
    Files.writeString(
        Path.of(System.getProperty("record")),
        line,
        StandardOpenOption.CREATE,
        StandardOpenOption.APPEND);
    response.getWriter().write("paid");
  }
}

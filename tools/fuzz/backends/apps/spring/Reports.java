import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.servlet.Filter;
import javax.servlet.FilterChain;
import javax.servlet.MultipartConfigElement;
import javax.servlet.ReadListener;
import javax.servlet.ServletException;
import javax.servlet.ServletInputStream;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletRequestWrapper;
import javax.servlet.http.HttpServletResponse;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.springframework.core.DefaultParameterNameDiscoverer;
import org.springframework.core.MethodParameter;
import org.springframework.format.support.DefaultFormattingConversionService;
import org.springframework.http.MediaType;
import org.springframework.http.converter.ByteArrayHttpMessageConverter;
import org.springframework.http.converter.StringHttpMessageConverter;
import org.springframework.http.converter.json.MappingJackson2HttpMessageConverter;
import org.springframework.http.converter.support.AllEncompassingFormHttpMessageConverter;
import org.springframework.util.MultiValueMap;
import org.springframework.util.StreamUtils;
import org.springframework.validation.BindingResult;
import org.springframework.web.bind.WebDataBinder;
import org.springframework.web.bind.annotation.MatrixVariable;
import org.springframework.web.bind.annotation.ModelAttribute;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMethod;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.support.ConfigurableWebBindingInitializer;
import org.springframework.web.bind.support.WebDataBinderFactory;
import org.springframework.web.context.request.NativeWebRequest;
import org.springframework.web.context.request.ServletWebRequest;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;
import org.springframework.web.filter.CharacterEncodingFilter;
import org.springframework.web.filter.HiddenHttpMethodFilter;
import org.springframework.web.filter.HttpPutFormContentFilter;
import org.springframework.web.filter.OncePerRequestFilter;
import org.springframework.web.method.support.HandlerMethodArgumentResolver;
import org.springframework.web.method.support.ModelAndViewContainer;
import org.springframework.web.multipart.MultipartFile;
import org.springframework.web.multipart.MultipartHttpServletRequest;
import org.springframework.web.multipart.support.RequestPartServletServerHttpRequest;
import org.springframework.web.multipart.support.StandardServletMultipartResolver;
import org.springframework.web.multipart.support.StringMultipartFileEditor;
import org.springframework.web.servlet.DispatcherServlet;
import org.springframework.web.servlet.HandlerMapping;
import org.springframework.web.servlet.mvc.method.RequestMappingInfo;
import org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerAdapter;
import org.springframework.web.servlet.mvc.method.annotation.RequestMappingHandlerMapping;
import org.springframework.web.servlet.mvc.method.annotation.ServletRequestDataBinderFactory;
import org.springframework.web.util.UrlPathHelper;

/** Spring MVC on Tomcat that reports what its arguments are: Reports PORT RECORD CONTRACT. */
public class Reports {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Method ARGUMENTS = method(Reports.class, "arguments");
  private static final Method REPORT = method(Handler.class, "report");
  private static OutputStream record;
  private static List<Map<String, Object>> routes;

  private static Method method(Class<?> type, String name) {
    return Arrays.stream(type.getDeclaredMethods())
        .filter(one -> one.getName().equals(name)).findFirst().get();
  }

  /** What a form or a document is bound to by setters; the names are those of all routes. */
  public static class Message {
    final Map<String, Object> set = new HashMap<>();

    public void setConversationId(String value) { set.put("conversationId", value); }
    public void setRoomId(String value) { set.put("roomId", value); }
    public void setRoom(String value) { set.put("room", value); }
    public void setId(String value) { set.put("id", value); }
    public void setContent(String value) { set.put("content", value); }
    public void setSubject(String value) { set.put("subject", value); }
    public void setCard(String value) { set.put("card", value); }
    public void setPhone(String value) { set.put("phone", value); }
    public void setIban(String value) { set.put("iban", value); }
    public void setKind(String value) { set.put("kind", value); }
    public void setMessage(String value) { set.put("message", value); }
    public void setAttachment(String value) { set.put("attachment", value); }
    public void setAnswer(String value) { set.put("answer", value); }
    public void setRemark(String value) { set.put("remark", value); }
    public User getUser() { return (User) set.get("user"); }
    public void setUser(User value) { set.put("user", value); }
    @SuppressWarnings("unchecked")
    public Map<String, String> getOrder() { return (Map<String, String>) set.get("order"); }
    public void setOrder(Map<String, String> value) { set.put("order", value); }
    @SuppressWarnings("unchecked")
    public Map<String, Object> getMeta() { return (Map<String, Object>) set.get("meta"); }
    public void setMeta(Map<String, Object> value) { set.put("meta", value); }
  }

  /** A member of a member. */
  public static class User {
    public String card, phone, note;

    public void setCard(String value) { card = value; }
    public void setPhone(String value) { phone = value; }
  }

  /** What is bound to its fields: lists take `card[0]`, objects `order.card`. */
  public static class Lists {
    public String conversationId, roomId, room, id, kind;
    public List<String> content, subject, card, phone, iban, message, attachment, answer, remark;
    public User user, order;
    public Map<String, Object> meta;
  }

  /** The arguments of controllers, each as a controller with it alone has it. */
  @SuppressWarnings("unused")
  private static void arguments(
      @ModelAttribute("one") Message bound,
      BindingResult ignored,
      @ModelAttribute("two") Lists lists,
      BindingResult more,
      @RequestBody Message document,
      @RequestBody Map<String, Object> object,
      @RequestBody MultiValueMap<String, String> form,
      @RequestParam Map<String, String> parameters,
      @MatrixVariable Map<String, String> matrix) {}

  /** A binder as an application has it that reads files as text and binds some objects by fields. */
  private static class Binders extends ServletRequestDataBinderFactory {
    Binders(ConfigurableWebBindingInitializer initializer) { super(null, initializer); }

    @Override
    public void initBinder(WebDataBinder binder, NativeWebRequest request) {
      if (binder.getTarget() instanceof Lists) {
        binder.initDirectFieldAccess();
      }
      binder.registerCustomEditor(String.class, new StringMultipartFileEditor("ISO-8859-1"));
    }
  }

  /** A body that each argument reads from its beginning. */
  private static class Again extends OncePerRequestFilter {
    @Override
    protected void doFilterInternal(
        HttpServletRequest request, HttpServletResponse response, FilterChain chain)
        throws ServletException, IOException {
      String type = String.valueOf(request.getContentType()).toLowerCase();
      // Forms are the container's, and of those it leaves `HttpPutFormContentFilter` took the rest.
      if (type.startsWith("multipart/") || type.startsWith("application/x-www-form-urlencoded")) {
        chain.doFilter(request, response);
        return;
      }
      byte[] body = StreamUtils.copyToByteArray(request.getInputStream());
      HttpServletRequestWrapper again = new HttpServletRequestWrapper(request) {
        @Override
        public ServletInputStream getInputStream() {
          ByteArrayInputStream bytes = new ByteArrayInputStream(body);
          return new ServletInputStream() {
            @Override public int read() { return bytes.read(); }
            @Override public boolean isFinished() { return bytes.available() == 0; }
            @Override public boolean isReady() { return true; }
            @Override public void setReadListener(ReadListener listener) {}
          };
        }
      };
      chain.doFilter(again, response);
    }
  }

  /** The handler of one route. */
  public static class Handler {
    private final Map<String, Object> route;
    private final RequestMappingHandlerAdapter adapter;
    private final WebDataBinderFactory binders;

    Handler(Map<String, Object> route, RequestMappingHandlerAdapter adapter) {
      this.route = route;
      this.adapter = adapter;
      binders = new Binders((ConfigurableWebBindingInitializer) adapter.getWebBindingInitializer());
    }

    private Object argument(MethodParameter parameter, NativeWebRequest request) {
      try {
        for (HandlerMethodArgumentResolver one : adapter.getArgumentResolvers()) {
          if (one.supportsParameter(parameter)) {
            return one.resolveArgument(parameter, new ModelAndViewContainer(), request, binders);
          }
        }
      } catch (Exception error) {
        return null;
      }
      return null;
    }

    /** Return what `@RequestParam String name` is: several values become one. */
    private Object parameter(String name, NativeWebRequest request) throws Exception {
      MultipartHttpServletRequest parts = request.getNativeRequest(MultipartHttpServletRequest.class);
      MultipartFile file = parts == null ? null : parts.getFile(name);
      Object found = file == null ? request.getParameterValues(name) : file;
      return binders.createBinder(request, null, name).convertIfNecessary(found, String.class);
    }

    /** Return what `@RequestPart String name` is. */
    private static Object part(String name, NativeWebRequest request) {
      try {
        return new StringHttpMessageConverter().read(
            String.class,
            new RequestPartServletServerHttpRequest(
                request.getNativeRequest(HttpServletRequest.class), name));
      } catch (Exception error) {
        return null;
      }
    }

    private Map<String, Object> reading(
        String idiom, Map<String, ?> bag, NativeWebRequest request, boolean bound)
        throws Exception {
      HttpServletRequest servlet = request.getNativeRequest(HttpServletRequest.class);
      String name = (String) route.get("conversation");
      Object conversation = null;
      String source = (String) route.get("source");
      if (source.equals("json") || bound && !source.equals("header")) {
        conversation = dig(bag, name);
      } else if (source.equals("query")) {
        conversation = parameter(name, request);
      } else if (source.equals("header")) {
        conversation = header(servlet, name);
      } else if (source.equals("path")) {
        Object names = servlet.getAttribute(HandlerMapping.URI_TEMPLATE_VARIABLES_ATTRIBUTE);
        conversation = ((Map<?, ?>) names).get(name);
      }
      Map<String, Object> values = new HashMap<>();
      for (String field : fields()) {
        Object value = field.startsWith("x-") ? header(servlet, field) : dig(bag, field);
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

    @SuppressWarnings("unchecked")
    private List<String> fields() {
      return (List<String>) route.get("fields");
    }

    @SuppressWarnings("unchecked")
    public void report(ServletWebRequest request, HttpServletResponse response) throws Exception {
      List<Map<String, Object>> found = new ArrayList<>();
      for (int at = 0; at < ARGUMENTS.getParameterCount(); at++) {
        MethodParameter parameter = new MethodParameter(ARGUMENTS, at);
        parameter.initParameterNameDiscovery(new DefaultParameterNameDiscoverer());
        if (parameter.getParameterType() == BindingResult.class) {
          continue;
        }
        Object value = argument(parameter, request);
        Map<String, Object> bag =
            value == null ? Collections.emptyMap()
            : value instanceof Message ? ((Message) value).set
            : JSON.convertValue(value, Map.class);
        boolean bound = parameter.hasParameterAnnotation(ModelAttribute.class);
        found.add(reading(parameter.getParameterName(), bag, request, bound));
      }
      Map<String, Object> named = new HashMap<>();
      Map<String, Object> parts = new HashMap<>();
      for (String name : fields()) {
        named.put(name, parameter(name, request));
        parts.put(name, part(name, request));
      }
      for (String name : Arrays.asList((String) route.get("conversation"), (String) route.get("when"))) {
        named.put(name, parameter(name, request));
      }
      found.add(reading("parameter", named, request, false));
      found.add(reading("part", parts, request, false));
      if (fields().get(0).equals("body")) {
        byte[] body = StreamUtils.copyToByteArray(request.getRequest().getInputStream());
        String text = new String(body, StandardCharsets.ISO_8859_1);
        found.add(reading("body", Collections.singletonMap("body", text), request, false));
      }
      Map<String, Object> told = new HashMap<>();
      told.put("h", route.get("name"));
      told.put("r", found);
      byte[] line = JSON.writeValueAsBytes(told);
      synchronized (Reports.class) {
        record.write(line);
        record.write('\n');
        record.flush();
      }
      response.setContentType(MediaType.TEXT_PLAIN_VALUE);
      response.getOutputStream().write(line);
    }
  }

  private static Object header(HttpServletRequest request, String name) {
    List<String> values = Collections.list(request.getHeaders(name));
    return values.isEmpty() ? null : String.join(",", values);
  }

  /** Return what stands under a name; `user.card` is a member of a member. */
  private static Object dig(Map<String, ?> bag, String name) {
    Object found = bag.get(name);
    if (found != null || !name.contains(".")) {
      return found;
    }
    found = JSON.convertValue(bag, Map.class);
    for (String one : name.split("\\.")) {
      found = found instanceof Map ? ((Map<?, ?>) found).get(one) : null;
    }
    return found;
  }

  /** Arguments and answers as `@EnableWebMvc` has them: what reads that does not run on this Java. */
  public static class Adapter extends RequestMappingHandlerAdapter {
    public Adapter() {
      ConfigurableWebBindingInitializer binding = new ConfigurableWebBindingInitializer();
      binding.setConversionService(new DefaultFormattingConversionService());
      setWebBindingInitializer(binding);
      setMessageConverters(Arrays.asList(
          new ByteArrayHttpMessageConverter(), new StringHttpMessageConverter(),
          new AllEncompassingFormHttpMessageConverter(), new MappingJackson2HttpMessageConverter()));
    }
  }

  /** The routes of the contract; an extension or a slash behind them matches, as Spring has it. */
  public static class Mapping extends RequestMappingHandlerMapping {
    private final boolean matrix;

    public Mapping() { this(false); }

    Mapping(boolean matrix) { this.matrix = matrix; }

    @Override
    public void afterPropertiesSet() {
      UrlPathHelper paths = new UrlPathHelper();
      paths.setRemoveSemicolonContent(!matrix);
      setUrlPathHelper(paths);
      super.afterPropertiesSet();
      RequestMappingInfo.BuilderConfiguration ways = new RequestMappingInfo.BuilderConfiguration();
      ways.setUrlPathHelper(paths);
      Adapter adapter = getApplicationContext().getBean(Adapter.class);
      for (Map<String, Object> route : routes) {
        RequestMethod method = RequestMethod.valueOf((String) route.get("method"));
        RequestMappingInfo info =
            RequestMappingInfo.paths((String) route.get("path")).methods(method).options(ways).build();
        registerMapping(info, new Handler(route, adapter), REPORT);
      }
    }
  }

  /** The same with matrix variables, before that: what it does not know, the other one may. */
  public static class MatrixMapping extends Mapping {
    public MatrixMapping() {
      super(true);
      setOrder(0);
    }
  }

  @SuppressWarnings("unchecked")
  public static void main(String[] arguments) throws Exception {
    record = new FileOutputStream(arguments[1], true);
    routes = JSON.readValue(arguments[2], List.class);
    AnnotationConfigWebApplicationContext spring = new AnnotationConfigWebApplicationContext();
    spring.addBeanFactoryPostProcessor(beans ->
        beans.registerSingleton("multipartResolver", new StandardServletMultipartResolver()));
    spring.register(MatrixMapping.class, Mapping.class, Adapter.class);
    Tomcat tomcat = new Tomcat();
    String folder = new File(arguments[1]).getParent();
    tomcat.setBaseDir(folder);
    tomcat.setPort(Integer.parseInt(arguments[0]));
    Connector connector = tomcat.getConnector();
    for (String one : new String[] {
      "address=127.0.0.1", "allowBackslash=true", "encodedSolidusHandling=decode",
      "maxKeepAliveRequests=-1", "maxThreads=4", "relaxedPathChars=<>[]\\^`{|}",
      "relaxedQueryChars=<>[]\\^`{|}"}) {
      String[] pair = one.split("=", 2);
      connector.setProperty(pair[0], pair[1]);
    }
    Context context = tomcat.addContext("", folder);
    for (Filter one : new Filter[] {
      new CharacterEncodingFilter("UTF-8", true), new HiddenHttpMethodFilter(),
      new HttpPutFormContentFilter(), new Again()}) {
      FilterDef filter = new FilterDef();
      filter.setFilterName(one.getClass().getSimpleName());
      filter.setFilter(one);
      context.addFilterDef(filter);
      FilterMap everywhere = new FilterMap();
      everywhere.setFilterName(filter.getFilterName());
      everywhere.addURLPattern("/*");
      context.addFilterMap(everywhere);
    }
    Wrapper servlet = Tomcat.addServlet(context, "spring", new DispatcherServlet(spring));
    servlet.setMultipartConfigElement(new MultipartConfigElement(folder));
    servlet.setLoadOnStartup(1);
    context.addServletMappingDecoded("/", "spring");
    tomcat.start();
    tomcat.getServer().await();
  }
}

// A client of .NET's library: `URL`, to which it sends JSON, a form and files, each to its path.
using System.Collections.Generic;
using System.Net.Http;
using System.Text;

public static class Client {
  public static void Main(string[] arguments) {
    var url = arguments[0];
    var text = "caf\u00e9 & \ud83d\ude00";
    using (var client = new HttpClient()) {
      var json = "{\"conversationId\":\"c1\",\"content\":\"" + text + "\",\"draft\":false,\"n\":1.5,\"replyTo\":null}";
      client.PostAsync(url + "/api/messages", new StringContent(json, Encoding.UTF8, "application/json")).Wait();
      var fields = new Dictionary<string, string> { { "content", text }, { "title", "a b" } };
      client.PostAsync(url + "/posts", new FormUrlEncodedContent(fields)).Wait();
      var form = new MultipartFormDataContent();
      foreach (var one in fields) form.Add(new StringContent(one.Value), one.Key);
      form.Add(new ByteArrayContent(Encoding.UTF8.GetBytes("text")), "file", "gr\u00fc\u00dfe a.txt");
      client.PostAsync(url + "/upload", form).Wait();
    }
  }
}

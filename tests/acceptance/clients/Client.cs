// HttpClient of .NET before the backend: `URL CANARY TOKEN`. See test_clients.py.

using System;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading.Tasks;

// A body whose length is not known before: it is sent in chunks.
class Pieces : HttpContent
{
    readonly string[] pieces;

    public Pieces(params string[] pieces)
    {
        this.pieces = pieces;
        Headers.ContentType = new MediaTypeHeaderValue("application/json");
    }

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext context)
    {
        foreach (var one in pieces)
        {
            var bytes = Encoding.UTF8.GetBytes(one);
            await stream.WriteAsync(bytes, 0, bytes.Length);
            await stream.FlushAsync();
        }
    }

    protected override bool TryComputeLength(out long length)
    {
        length = -1;
        return false;
    }
}

static class Client
{
    static string canary;
    static HttpClient client;

    static void Main(string[] given)
    {
        Run(given).GetAwaiter().GetResult();
    }

    static async Task Run(string[] given)
    {
        var old = given[0] + "/api/v1/messages";
        var api = given[0] + "/api/v1/enhanced-messages";
        canary = given[1];
        client = new HttpClient(new HttpClientHandler
        {
            AutomaticDecompression = DecompressionMethods.GZip | DecompressionMethods.Deflate,
        });
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", given[2]);
        var text = canary + " \\\"q\\\" \\\\ / < > & \u00fc \\ud83c\\udf0d";
        var found = await Send("create", "POST", old, Json("{\"content\": \"" + text + "\", \"subject\": \"" + canary + "\"}"));
        await Send("in pieces", "POST", old, new Pieces("{\"content\": \"", canary + " in pieces\"", "}"));
        client.DefaultRequestHeaders.ExpectContinue = true;
        await Send("group", "POST", api + "/group", Json("{\"content\": \"" + text + "\", \"conversationId\": \"c1\"}"));
        client.DefaultRequestHeaders.ExpectContinue = false;
        await Send("edit", "PUT", api + "/" + Number(found, "id"), Json("{\"content\": \"" + text + " edited\"}"));
        await Send("invalid", "POST", old, Json("{\"content\": \"" + text + "\", \"priority\": \"high\"}"));
        await Send("history", "GET", api + "/history", null);
        found = await Send("upload", "POST", api + "/upload", Form());
        await Send("download", "GET", api + "/files/" + Number(found, "number"), null);
        await Send("events", "GET", old + "/events", null);
        var together = Enumerable.Range(0, 16).Select(one => Asked("POST", old, Json("{\"content\": \"" + canary + " " + one + "\"}")));
        var answers = await Task.WhenAll(together.Select(one => client.SendAsync(one)).ToArray());
        for (var one = 0; one < 16; one++)
        {
            await Tell("together " + one, answers[one]);
        }
    }

    static HttpContent Json(string text)
    {
        return new StringContent(text, Encoding.UTF8, "application/json");
    }

    static HttpContent Form()
    {
        var scan = new MemoryStream();
        var head = Encoding.UTF8.GetBytes(canary);
        var bytes = Enumerable.Range(0, 256).Select(one => (byte)one).ToArray();
        for (var round = 0; round < 400; round++)
        {
            scan.Write(head, 0, head.Length);
            scan.Write(bytes, 0, bytes.Length);
        }
        var first = new ByteArrayContent(scan.ToArray());
        first.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        var second = new StringContent(canary + " \u00fc", Encoding.UTF8, "text/plain");
        var made = new MultipartFormDataContent();
        made.Add(new StringContent("one"), "note");
        made.Add(first, "files", "scan.bin");
        made.Add(second, "files", "R\u00f6ntgen " + canary + ".txt");
        return made;
    }

    static HttpRequestMessage Asked(string method, string url, HttpContent content)
    {
        return new HttpRequestMessage(new HttpMethod(method), url) { Content = content };
    }

    static async Task<string> Send(string name, string method, string url, HttpContent content)
    {
        return await Tell(name, await client.SendAsync(Asked(method, url, content)));
    }

    static async Task<string> Tell(string name, HttpResponseMessage answer)
    {
        var body = await answer.Content.ReadAsByteArrayAsync();
        var kind = answer.Content.Headers.ContentType.ToString();
        Console.WriteLine(string.Join("\t", name, (int)answer.StatusCode, kind, Convert.ToBase64String(body)));
        return Encoding.GetEncoding("iso-8859-1").GetString(body);
    }

    static string Number(string text, string member)
    {
        return Regex.Match(text, "\"" + member + "\":(\\d+)").Groups[1].Value;
    }
}

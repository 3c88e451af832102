// A client of Go's library: `URL`, to which it sends JSON, a form and files, each to its path.
package main

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
)

const text = "café \"q\" \\ / <b> & 😀"

func send(answer *http.Response, err error) {
	if err != nil {
		panic(err)
	}
	answer.Body.Close()
}

func main() {
	to := os.Args[1]
	message := map[string]any{"conversationId": "c1", "content": text, "draft": false, "n": 1.5, "replyTo": nil}
	var body bytes.Buffer
	json.NewEncoder(&body).Encode(message) // with a line feed behind the value
	send(http.Post(to+"/api/messages", "application/json", &body))
	whole, _ := json.Marshal(message)
	send(http.Post(to+"/api/messages", "application/json", bytes.NewReader(whole)))
	send(http.PostForm(to+"/posts", url.Values{"content": {text}, "title": {"a b"}}))
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	writer.WriteField("content", text)
	writer.WriteField("title", "a b")
	file, _ := writer.CreateFormFile("file", "the \"final\" grüße.txt")
	file.Write([]byte("text"))
	writer.Close()
	send(http.Post(to+"/upload", writer.FormDataContentType(), &form))
}

// A Go server that reports what it reads: reports PORT RECORD CONTRACT
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

type route struct {
	Name, Path, Method, Source, Conversation, When string
	Fields                                         []string
}

// message is bound as any handler binds its request; the names are those of all routes.
type message struct {
	ConversationID any            `json:"conversationId"`
	Content        any            `json:"content"`
	Subject        any            `json:"subject"`
	Card           any            `json:"card"`
	Phone          any            `json:"phone"`
	Iban           any            `json:"iban"`
	Kind           any            `json:"kind"`
	Message        any            `json:"message"`
	Attachment     any            `json:"attachment"`
	Order          map[string]any `json:"order"`
	User           struct {
		Card  any `json:"card"`
		Phone any `json:"phone"`
	} `json:"user"`
	Meta struct {
		RoomID any `json:"roomId"`
	} `json:"meta"`
}

func (m message) bag() map[string]any {
	return map[string]any{"conversationId": m.ConversationID, "content": m.Content,
		"subject": m.Subject, "card": m.Card, "phone": m.Phone, "iban": m.Iban, "kind": m.Kind,
		"message": m.Message, "attachment": m.Attachment,
		"order": m.Order, "user": map[string]any{"card": m.User.Card, "phone": m.User.Phone},
		"meta": map[string]any{"roomId": m.Meta.RoomID}}
}

type reading struct {
	I string         `json:"i"`
	C any            `json:"c"`
	V map[string]any `json:"v"`
	W any            `json:"w"`
}

type line struct {
	H string    `json:"h"`
	R []reading `json:"r"`
}

var guard sync.Mutex

func read(to route, idiom string, bag map[string]any, r *http.Request, query func(string) string) reading {
	var conversation any
	switch to.Source {
	case "json":
		conversation = dig(bag, to.Conversation)
	case "query":
		conversation = query(to.Conversation)
	case "header":
		conversation = r.Header.Get(to.Conversation)
	case "path":
		conversation = r.PathValue(to.Conversation)
	}
	values := map[string]any{}
	for _, field := range to.Fields {
		if strings.HasPrefix(field, "x-") {
			values[field] = r.Header.Get(field)
		} else if found := dig(bag, field); found != nil && found != "" {
			values[field] = found
		}
	}
	return reading{idiom, conversation, values, bag[to.When]}
}

// dig returns what stands under a name; user.card is a member of a member.
func dig(bag map[string]any, name string) any {
	var found any = bag
	for _, one := range strings.Split(name, ".") {
		inner, there := found.(map[string]any)
		if !there {
			return nil
		}
		found = inner[one]
	}
	return found
}

func bound(data []byte) map[string]any {
	var found message
	_ = json.NewDecoder(bytes.NewReader(data)).Decode(&found)
	return found.bag()
}

func handler(to route, record *os.File) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		query := func(name string) string { return r.URL.Query().Get(name) }
		var whole map[string]any
		_ = json.Unmarshal(body, &whole)
		readings := []reading{
			read(to, "bound", bound(body), r, query),
			read(to, "map", whole, r, query),
		}
		_ = r.ParseMultipartForm(1 << 20)
		values, posted := map[string]any{}, map[string]any{}
		for _, field := range append(to.Fields, to.Conversation, to.When) {
			values[field], posted[field] = r.FormValue(field), r.PostFormValue(field)
			if file, head, err := r.FormFile(field); err == nil {
				data, _ := io.ReadAll(file)
				posted[field] = []string{head.Filename, string(data)}
			}
		}
		readings = append(readings, read(to, "FormValue", values, r, r.FormValue),
			read(to, "PostFormValue", posted, r, query))
		if strings.Contains(r.Header.Get("Content-Type"), "ndjson") {
			for _, one := range bytes.Split(body, []byte("\n")) {
				readings = append(readings, read(to, "records", bound(one), r, query))
			}
		}
		if to.Fields[0] == "body" {
			readings = append(readings, read(to, "body", map[string]any{"body": string(body)}, r, query))
		}
		told, _ := json.Marshal(line{to.Name, readings})
		guard.Lock()
		fmt.Fprintf(record, "%s\n", told)
		guard.Unlock()
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(told)
	}
}

func main() {
	var routes []route
	if err := json.Unmarshal([]byte(os.Args[3]), &routes); err != nil {
		panic(err)
	}
	record, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	for _, one := range routes {
		mux.HandleFunc(one.Method+" "+one.Path, handler(one, record))
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], mux))
}

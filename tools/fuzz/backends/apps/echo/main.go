// An Echo server that reports what it binds: reports PORT RECORD CONTRACT
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/labstack/echo"
)

type route struct {
	Name, Path, Method, Source, Conversation, When string
	Fields                                         []string
}

// message is bound as any handler binds its request: Echo takes path, query and body by these tags.
type message struct {
	ConversationID string         `json:"conversationId" form:"conversationId" query:"conversationId"`
	RoomID         string         `json:"-" query:"roomId" form:"roomId"`
	Room           string         `json:"room" param:"room" query:"room" form:"room"`
	ID             string         `json:"id" param:"id" query:"id" form:"id"`
	Content        string         `json:"content" form:"content" query:"content"`
	Subject        string         `json:"subject" form:"subject" query:"subject"`
	Card           string         `json:"card" form:"card" query:"card"`
	Phone          string         `json:"phone" form:"phone" query:"phone"`
	Iban           string         `json:"iban" form:"iban" query:"iban"`
	Kind           string         `json:"kind" form:"kind" query:"kind"`
	Message        string         `json:"message" form:"message" query:"message"`
	Attachment     string         `json:"attachment" form:"attachment" query:"attachment"`
	Answer         string         `json:"answer" form:"answer" query:"answer"`
	Remark         string         `json:"remark" form:"remark" query:"remark"`
	Order          map[string]any `json:"order"`
	User           map[string]any `json:"user"`
	Meta           map[string]any `json:"meta"`
}

func (m message) bag() map[string]any {
	return map[string]any{"conversationId": m.ConversationID, "roomId": m.RoomID, "room": m.Room,
		"id": m.ID, "content": m.Content, "subject": m.Subject, "card": m.Card, "phone": m.Phone,
		"iban": m.Iban, "kind": m.Kind, "message": m.Message, "attachment": m.Attachment,
		"answer": m.Answer, "remark": m.Remark, "order": m.Order, "user": m.User, "meta": m.Meta}
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

func read(to route, idiom string, bag map[string]any, c echo.Context, bound bool) reading {
	var conversation any
	switch to.Source {
	case "json":
		conversation = dig(bag, to.Conversation)
	case "query":
		conversation = c.QueryParam(to.Conversation)
	case "header":
		conversation = c.Request().Header.Get(to.Conversation)
	case "path":
		conversation = c.Param(to.Conversation)
		if bound {
			conversation = dig(bag, to.Conversation)
		}
	}
	values := map[string]any{}
	for _, field := range to.Fields {
		if strings.HasPrefix(field, "x-") {
			values[field] = c.Request().Header.Get(field)
		} else if found := dig(bag, field); found != nil && found != "" {
			values[field] = found
		}
	}
	return reading{idiom, conversation, values, bag[to.When]}
}

func handler(to route, record *os.File) echo.HandlerFunc {
	return func(c echo.Context) error {
		body, _ := io.ReadAll(c.Request().Body)
		again := func() { c.Request().Body = io.NopCloser(bytes.NewReader(body)) }
		again()
		var found message
		_ = c.Bind(&found)
		again()
		readings := []reading{read(to, "Bind", found.bag(), c, true)}
		values := map[string]any{}
		for _, field := range append(to.Fields, to.Conversation, to.When) {
			values[field] = c.FormValue(field)
			if file, err := c.FormFile(field); err == nil {
				if opened, err := file.Open(); err == nil {
					data, _ := io.ReadAll(opened)
					values[field] = []string{file.Filename, string(data)}
				}
			}
		}
		readings = append(readings, read(to, "FormValue", values, c, false))
		if to.Fields[0] == "body" {
			readings = append(readings, read(to, "body", map[string]any{"body": string(body)}, c, false))
		}
		told, _ := json.Marshal(line{to.Name, readings})
		guard.Lock()
		fmt.Fprintf(record, "%s\n", told)
		guard.Unlock()
		return c.String(200, string(told))
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
	server := echo.New()
	for _, one := range routes {
		path := strings.NewReplacer("{", ":", "}", "").Replace(one.Path)
		server.Add(one.Method, path, handler(one, record))
	}
	panic(server.Start("127.0.0.1:" + os.Args[1]))
}

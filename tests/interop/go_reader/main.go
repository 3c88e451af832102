// A reader of all that Sealyard writes, with Go's standard library alone, written from
// docs/reference/wire-format.md (and docs/reference/keyring-file.md for keyrings).
// Reads [{"do": what, …}] from stdin and writes an answer for each, as JSON: what came out,
// {"refused": why}, or {"broken": why} for a mistake of this reader.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

func asHex(data []byte) string { return hex.EncodeToString(data) }

var known = map[string]func(object) object{
	"context": func(task object) object {
		parts := member(task, "parts")
		return object{"context": asHex(context(parts)), "scope": asHex(scope(parts))}
	},
	"token":      func(task object) object { return told(openToken(task)) },
	"equal":      func(task object) object { return told(openEqual(task)) },
	"stream":     openStream,
	"package":    openPackage,
	"privateKey": openPrivateKey,
	"keyring":    openKeyring,
	"name":       func(task object) object { return object{"name": recordName(task)} },
	"record":     readRecord,
	"receipt":    readReceipt,
	"audit":      readAudit,
	"tags":       tagsOf,
}

func answered(task object) (answer object) {
	defer func() {
		switch why := recover().(type) {
		case nil:
		case refused:
			answer = object{"refused": string(why)}
		default:
			answer = object{"broken": fmt.Sprint(why)}
		}
	}()
	return known[text(task, "do")](task)
}

func main() {
	decoder := json.NewDecoder(os.Stdin)
	decoder.UseNumber()
	var tasks []object
	if err := decoder.Decode(&tasks); err != nil {
		panic(err)
	}
	answers := make([]object, len(tasks))
	for at, task := range tasks {
		answers[at] = answered(task)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}

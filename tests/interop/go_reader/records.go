package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// Records of the store, receipts and audit lines.

func recordName(task object) string {
	var of []byte
	switch text(task, "of") {
	case "sessions":
		of = scope(member(task, "parts"))
	case "packages":
		of = joined("sealyard/v1/packages", byte(0), scope(member(task, "parts")))
	case "participant":
		of = joined("sealyard/v1/participant", byte(0), text(task, "id"))
	case "pins":
		asked := object{"of": "participant", "id": task["id"], "identity_key": task["identity_key"]}
		of = joined("sealyard/v1/pins", byte(0), recordName(asked))
	default:
		refuse("of")
	}
	if task["identity_key"] != nil {
		return to64(mac(expand(from16(text(task, "identity_key")), []byte("sealyard/v1/participant-names"), 32), of)[:16])
	}
	return to64(mac(from16(text(task, "name_key")), of)[:16])
}

func counted(data []byte, at int) json.Number {
	return json.Number(strconv.FormatUint(binary.BigEndian.Uint64(data[at:]), 10))
}

func readSession(values []byte) object {
	number := json.Number(strconv.Itoa(int(binary.BigEndian.Uint16(values[33:]))))
	read := object{"kek_number": number, "sid": to64(values[35:47])}
	for at, name := range []string{"epoch", "created", "soft_end", "hard_end"} {
		read[name] = counted(values, 1+8*at)
	}
	return read
}

func readRecord(task object) object {
	data, label, name := from16(text(task, "record")), text(task, "label"), text(task, "name")
	if len(data) < 32 {
		refuse("record")
	}
	values, recordKey := data[:len(data)-32], from16(text(task, "record_key"))
	identity := func(own []byte) []byte { return joined(label, byte(0), u16(len(name)), name, own) }
	if !hmac.Equal(mac(recordKey, identity(values)), data[len(values):]) || len(values) == 0 {
		refuse("record")
	}
	kind := label[strings.LastIndex(label, "/")+1:]
	if kind == "session" {
		if values[0] > 2 || len(values) < 47 {
			refuse("version")
		}
		read := readSession(values)
		if values[0] == 1 {
			return read
		}
		for _, kek := range objects(member(task, "keyring"), "keks") {
			if kek["number"] == read["kek_number"] {
				key := expand(from16(text(kek, "key")), joined("sealyard/v1/wrap", values[35:47]), 32)
				opened := openGcm(key, values[47:59], values[59:], identity(values[:47]))
				read["session_key"] = asHex(opened)
				return read
			}
		}
		refuse("KEK")
	}
	if values[0] != 1 {
		refuse("version")
	}
	switch kind {
	case "revocation":
		return object{"not_before": counted(values, 1)}
	case "turn":
		return object{"epoch": counted(values, 1), "random": asHex(values[9:])}
	case "kek-use":
		uses := object{}
		for at := 17; at < len(values); at += 34 {
			uses[strconv.Itoa(int(binary.BigEndian.Uint16(values[at:])))] = []json.Number{
				counted(values, at+2), counted(values, at+10), counted(values, at+18), counted(values, at+26),
			}
		}
		return object{"epoch": counted(values, 1), "since": counted(values, 9), "uses": uses}
	}
	seal := expand(recordKey, []byte("sealyard/v1/record-seal"), 32)
	opened := openGcm(seal, values[9:21], values[21:], identity(values[:9]))
	return object{"epoch": counted(values, 1), "json": parsed(opened)}
}

func readReceipt(task object) object {
	seed := expand(from16(text(task, "record_key")), []byte("sealyard/v1/receipt"), 32)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	jwk := object{"kty": "OKP", "crv": "Ed25519", "x": to64(public)}
	claims := verifyJws(strings.TrimSpace(text(task, "receipt")), jwk, "sealyard-erased+jwt")
	subject := member(claims, "subject")
	expected := to64(digest(joined(from64(text(subject, "salt")), scope(member(task, "parts")))))
	if text(subject, "sha256") != expected {
		refuse("another scope")
	}
	return object{"claims": claims}
}

var auditLine = regexp.MustCompile(`(?s)^(.*),"mac":"([A-Za-z0-9_-]{43})"\}\z`)

func readAudit(task object) object {
	key := expand(from16(text(task, "record_key")), []byte("sealyard/v1/audit"), 32)
	before, events := "", []string{}
	for _, one := range task["lines"].([]any) {
		found := auditLine.FindStringSubmatch(one.(string))
		if found == nil {
			refuse("line")
		}
		made, said := to64(mac(key, joined("sealyard/v1/audit/line", byte(0), found[1]))), parsed([]byte(one.(string)))
		if made != found[2] || text(said, "prev") != before {
			refuse("chain")
		}
		before, events = made, append(events, text(said, "event"))
	}
	return object{"events": events}
}

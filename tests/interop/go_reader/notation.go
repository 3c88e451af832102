package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"slices"
	"strings"
)

// What every part of the reader needs: the page's notation, and names.

const skew = 60

type object = map[string]any

type refused string

func refuse(why string) { panic(refused(why)) }

func must[T any](value T, err error) T {
	if err != nil {
		refuse(err.Error())
	}
	return value
}

func text(from object, name string) string {
	found, ok := from[name].(string)
	if !ok {
		refuse(name)
	}
	return found
}

func number(from object, name string) int64 {
	found, ok := from[name].(json.Number)
	if !ok {
		refuse(name)
	}
	return must(found.Int64())
}

func member(from object, name string) object {
	found, ok := from[name].(object)
	if !ok {
		refuse(name)
	}
	return found
}

func objects(from object, name string) []object {
	list, ok := from[name].([]any)
	if !ok {
		refuse(name)
	}
	found := make([]object, len(list))
	for at, one := range list {
		if found[at], ok = one.(object); !ok {
			refuse(name)
		}
	}
	return found
}

func parsed(data []byte) object {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var found object
	if decoder.Decode(&found) != nil || found == nil || decoder.More() {
		refuse("JSON")
	}
	return found
}

func canonical(value any) []byte { // RFC 8785, of ASCII and integers
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(value) != nil {
		refuse("JSON")
	}
	return bytes.TrimSuffix(made.Bytes(), []byte("\n"))
}

func from16(written string) []byte { return must(hex.DecodeString(written)) }

func to64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func from64(written string) []byte { // the decoder of Go skips line ends
	if strings.ContainsAny(written, "\r\n") {
		refuse("base64url")
	}
	return must(base64.RawURLEncoding.Strict().DecodeString(written))
}

func joined(parts ...any) []byte {
	var made []byte
	for _, part := range parts {
		switch one := part.(type) {
		case string:
			made = append(made, one...)
		case []byte:
			made = append(made, one...)
		case byte:
			made = append(made, one)
		}
	}
	return made
}

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func mac(key []byte, data []byte) []byte {
	made := hmac.New(sha256.New, key)
	made.Write(data)
	return made.Sum(nil)
}

func digest(data []byte) []byte {
	made := sha256.Sum256(data)
	return made[:]
}

func expand(key []byte, info []byte, size int) []byte {
	return expandWith(sha256.New, key, info, size)
}

func expandWith[H hash.Hash](by func() H, key []byte, info []byte, size int) []byte {
	return must(hkdf.Expand(by, key, string(info), size))
}

func openGcm(key []byte, iv []byte, sealed []byte, aad []byte) []byte {
	if len(iv) != 12 || len(sealed) < 16 {
		refuse("shape")
	}
	mode := must(cipher.NewGCM(must(aes.NewCipher(key))))
	return must(mode.Open([]byte{}, iv, sealed, aad))
}

func unwrapKey(key []byte, wrapped []byte) []byte { // RFC 3394
	if len(wrapped) < 24 || len(wrapped)%8 != 0 {
		refuse("wrapped key")
	}
	block, n := must(aes.NewCipher(key)), len(wrapped)/8-1
	check, rest := slices.Clone(wrapped[:8]), slices.Clone(wrapped[8:])
	for t := 6 * n; t > 0; t-- {
		at := (t - 1) % n * 8
		first := binary.BigEndian.Uint64(check) ^ uint64(t)
		both := append(binary.BigEndian.AppendUint64(nil, first), rest[at:at+8]...)
		block.Decrypt(both, both)
		copy(check, both[:8])
		copy(rest[at:], both[8:])
	}
	if !bytes.Equal(check, bytes.Repeat([]byte{0xa6}, 8)) {
		refuse("wrapped key")
	}
	return rest
}

// ---- Names, CONTEXT and SCOPE

var labels = []string{"tenant", "conversation", "field", "message", "purpose", "kind"}

// nameOf returns the kind of a name (0 text, 1 list, 2 members) and its value.
func nameOf(name any) (byte, []byte) {
	if written, ok := name.(string); ok {
		return 0, []byte(written)
	}
	kind := byte(1)
	parts, ok := name.([]any)
	if !ok {
		kind = 2
		parts, ok = name.(object)["members"].([]any)
	}
	if !ok {
		refuse("name")
	}
	encoded := make([][]byte, len(parts))
	for at, part := range parts {
		inner, value := nameOf(part)
		encoded[at] = joined(inner, u32(len(value)), value)
	}
	if kind == 2 {
		slices.SortFunc(encoded, bytes.Compare)
	}
	return kind, bytes.Join(encoded, nil)
}

func context(parts object) []byte {
	made := []byte{}
	for at, part := range labels {
		if name := parts[part]; name != nil {
			kind, value := nameOf(name)
			made = append(made, joined(byte(at+1)+16*kind, u32(len(value)), value)...)
		}
	}
	return made
}

func scope(parts object) []byte {
	return context(object{"tenant": parts["tenant"], "conversation": parts["conversation"]})
}

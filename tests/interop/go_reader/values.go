package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Tokens, tags behind them, and sealed streams.

var header = regexp.MustCompile(`^\{"typ":"sy1","alg":"dir","enc":"A256GCM","kid":"(?:([A-Za-z0-9_-]{1,32})\.)?([A-Za-z0-9_-]{16})"` +
	`(?:,"cty":"([\x20\x21\x23-\x5b\x5d-\x7e]{1,127})")?(?:,"exp":(0|[1-9][0-9]{0,11}))?` +
	`,"ctx":"([A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{43})"\}\z`)
var tags = regexp.MustCompile(`~(?:(?:[a-z2-7]{5}~)+|(?:[a-z2-7]{27}~)+)\z`)

type token struct {
	short            bool
	kek, cty         string
	number           int
	durable, expires bool
	exp              int64
	sid, iv, sealed  []byte
	commitment, aad  []byte
}

func readHeader(p []byte) token {
	found := header.FindSubmatch(p)
	if found == nil {
		refuse("header")
	}
	made := token{kek: string(found[1]), sid: from64(string(found[2])), cty: string(found[3]), commitment: from64(string(found[5]))}
	made.durable, made.expires = found[1] != nil, found[4] != nil
	if made.expires {
		made.exp = must(strconv.ParseInt(string(found[4]), 10, 64))
	}
	return made
}

func decodeToken(written string) token {
	if strings.HasPrefix(written, "sy1.") {
		data := from64(written[4:])
		if len(data) < 43+16 || data[0]&8 == 8 {
			refuse("short")
		}
		flags, number := data[0], int(binary.BigEndian.Uint16(data[1:]))
		if flags&^3 != 0 || (flags&1 == 1 && number != 0) {
			refuse("flags")
		}
		made := token{short: true, number: number, durable: flags&1 == 0, sid: data[3:15], iv: data[15:27], commitment: data[27:43], aad: data[:43], sealed: data[43:]}
		if flags&2 == 2 {
			made.cty = "json"
		}
		return made
	}
	if strings.HasPrefix(written, "iVNZMUI2NA0K") {
		data := must(base64.StdEncoding.Strict().DecodeString(written))
		if len(data) < 11 || strings.ContainsAny(written, "\r\n") {
			refuse("base64")
		}
		end := 11 + int(binary.BigEndian.Uint16(data[9:]))
		if len(data) < end+28 {
			refuse("base64")
		}
		made := readHeader(from64(string(data[11:end])))
		if made.cty != "" {
			refuse("header")
		}
		made.aad, made.iv, made.sealed = data[:end], data[end:end+12], data[end+12:]
		return made
	}
	parts := strings.Split(written, ".")
	if len(parts) != 5 || parts[1] != "" || len(parts[2]) != 16 || len(parts[4]) != 22 {
		refuse("parts")
	}
	made := readHeader(from64(parts[0]))
	made.aad, made.iv, made.sealed = []byte(parts[0]), from64(parts[2]), joined(from64(parts[3]), from64(parts[4]))
	return made
}

func durableKey(keyring object, of token, parts object) []byte {
	for _, kek := range objects(keyring, "keks") {
		named := text(kek, "id") == of.kek
		if of.short {
			named = number(kek, "number") == int64(of.number)
		}
		if named && kek["state"] != "disabled" {
			return expand(from16(text(kek, "key")), joined("sealyard/v1/sk", byte(0), of.sid, scope(parts)), 32)
		}
	}
	refuse("no KEK")
	return nil
}

func openToken(task object) ([]byte, string) {
	of := decodeToken(tags.ReplaceAllString(text(task, "token"), ""))
	parts := member(task, "parts")
	if of.expires && number(task, "now") > of.exp+skew {
		refuse("expired")
	}
	var sk []byte
	if of.durable {
		keyring := member(task, "keyring")
		name := to64(mac(from16(text(keyring, "name_key")), scope(parts))[:16])
		if until, ok := keyring["revocations"].(object); ok && until[name] != nil {
			if int64(binary.BigEndian.Uint32(of.sid)) < number(until, name) {
				refuse("revoked")
			}
		}
		sk = durableKey(keyring, of, parts)
	} else {
		sk = from16(text(task, "key"))
	}
	packaged, bound := task["packaged"] == true, context(parts)
	names := expand(sk, []byte("sealyard/v1/ctx"), 32)
	if of.short {
		if packaged || !hmac.Equal(of.commitment, mac(names, joined(of.iv, bound))[:16]) {
			refuse("com")
		}
		return openGcm(sk, of.iv, of.sealed, joined("sy1.", of.aad, bound)), of.cty
	}
	expected := mac(names, bound)
	if !packaged {
		expected = expected[:16]
	}
	if !hmac.Equal(of.commitment, expected) {
		refuse("ctx")
	}
	return openGcm(sk, of.iv, of.sealed, of.aad), of.cty
}

func openEqual(task object) ([]byte, string) {
	written, generation := text(task, "token"), int(number(task, "generation"))
	if !strings.HasPrefix(written, "sy1.") {
		refuse("prefix")
	}
	data := from64(written[4:])
	if len(data) < 19 || data[0]&^2 != 8 {
		refuse("equal")
	}
	if found := int(binary.BigEndian.Uint16(data[1:])); found == 0 || found != generation {
		refuse("generation")
	}
	bound := context(member(task, "parts"))
	info, secret := joined(byte(0), u32(len(bound)), bound, u32(generation)), from16(text(task, "secret"))
	key := func(label string) []byte { return expand(secret, joined("sealyard/v1/equal/"+label, info), 32) }
	plaintext := make([]byte, len(data)-19)
	cipher.NewCTR(must(aes.NewCipher(key("enc"))), data[3:19]).XORKeyStream(plaintext, data[19:])
	if !hmac.Equal(data[3:19], mac(key("mac"), joined(u32(len(bound)), bound, "sy1.", data[:3], plaintext))[:16]) {
		refuse("S")
	}
	if data[0]&2 == 2 {
		return plaintext, "json"
	}
	return plaintext, ""
}

func told(plaintext []byte, cty string) object {
	answer := object{"plaintext": base64.StdEncoding.EncodeToString(plaintext), "cty": nil}
	if cty != "" {
		answer["cty"] = cty
	}
	return answer
}

// ---- Tags behind a token

const characters = "abcdefghijklmnopqrstuvwxyz234567"

func tagsOf(task object) object {
	generation, kind := int(number(task, "generation")), text(task, "kind")
	label := joined("sealyard/v1/index/1", byte(0))
	for _, one := range [][]byte{scope(member(task, "parts")), []byte(text(task, "field")), []byte(kind)} {
		label = joined(label, u32(len(one)), one)
	}
	key := expand(from16(text(task, "secret")), joined(label, u32(generation)), 32)
	base := base32.NewEncoding(characters).WithPadding(base32.NoPadding)
	made := []string{}
	for _, one := range task["words"].([]any) {
		word := []byte(one.(string))
		sealed := mac(key, word)[:16]
		if kind == "words" {
			block := joined(byte(255), digest(word)[:15])
			if len(word) < 16 {
				block = joined(byte(len(word)), word, make([]byte, 15-len(word)))
			}
			must(aes.NewCipher(key)).Encrypt(sealed, block)
		}
		tag := base.EncodeToString(sealed)
		if kind == "words" {
			tag = tag[:4]
		}
		made = append(made, string(characters[generation%32])+tag)
	}
	return object{"tags": made}
}

// ---- Sealed stream

const chunkSize = 16384

func openStream(task object) object {
	data := must(base64.StdEncoding.DecodeString(text(task, "stream")))
	if len(data) < 7 || !bytes.Equal(data[:5], []byte("SYST\x01")) {
		refuse("magic")
	}
	end := 7 + int(binary.BigEndian.Uint16(data[5:]))
	if end > 7+1024 || len(data) < end+56 {
		refuse("head")
	}
	asked := object{"token": string(data[7:end])}
	for _, name := range []string{"parts", "keyring", "now"} {
		asked[name] = task[name]
	}
	opened, cty := openToken(asked)
	if cty != "stream-key" || len(opened) < 32 {
		refuse("J")
	}
	info := joined("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM", byte(0), data[end:end+24], data[:end], context(member(task, "parts")))
	derived := expandWith(sha512.New, opened[:32], info, 76)
	if !hmac.Equal(derived[44:], data[end+24:end+56]) {
		refuse("commitment")
	}
	plaintext, rest := []byte{}, data[end+56:]
	for count := uint32(0); ; count++ { // streams here have fewer than 2^32 chunks
		iv := slices.Clone(derived[32:44])
		binary.BigEndian.PutUint32(iv[8:], binary.BigEndian.Uint32(iv[8:])^count)
		size := min(len(rest), chunkSize+16)
		chunk := openGcm(derived[:32], iv, rest[:size], nil)
		plaintext, rest = append(plaintext, chunk...), rest[size:]
		if len(chunk) < chunkSize {
			break
		}
	}
	if len(rest) > 0 {
		refuse("more behind the last chunk")
	}
	return object{"sha256": asHex(digest(plaintext)), "size": json.Number(strconv.Itoa(len(plaintext))), "mediaType": string(opened[32:])}
}

package main

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strings"
)

// Key packages, private keys and keyrings.

func thumbprint(jwk object) string {
	members := map[any][]string{"RSA": {"e", "kty", "n"}, "OKP": {"crv", "kty", "x"}, "AKP": {"alg", "kty", "pub"}}[jwk["kty"]]
	kept := object{}
	for _, one := range members {
		kept[one] = jwk[one]
	}
	return to64(digest(canonical(kept)))
}

func x25519(private []byte, public []byte) []byte {
	return must(must(ecdh.X25519().NewPrivateKey(private)).ECDH(must(ecdh.X25519().NewPublicKey(public))))
}

func integer(jwk object, name string) *big.Int { return new(big.Int).SetBytes(from64(text(jwk, name))) }

func publicRsa(jwk object) rsa.PublicKey {
	return rsa.PublicKey{N: integer(jwk, "n"), E: int(integer(jwk, "e").Int64())}
}

func openRsa(jwk object, wrapped []byte) []byte {
	key := &rsa.PrivateKey{PublicKey: publicRsa(jwk), D: integer(jwk, "d"), Primes: []*big.Int{integer(jwk, "p"), integer(jwk, "q")}}
	key.Precompute()
	return must(rsa.DecryptOAEP(sha256.New(), nil, key, wrapped, nil))
}

func openAgreed(mine object, epk object, wrapped []byte) []byte {
	z := x25519(from64(text(mine, "d")), from64(text(epk, "x")))
	return unwrapKey(digest(joined(u32(1), z, u32(14), "ECDH-ES+A256KW", u32(0), u32(0), u32(256))), wrapped)
}

func openHpke(wrapped []byte, jwk object, kid string) []byte { // X-Wing, then RFC 9180 section 5
	if len(wrapped) < 1120 {
		refuse("HPKE")
	}
	seed := sha3.SumSHAKE256(from64(text(jwk, "priv")), 96)
	enc, pub := wrapped[:1120], from64(text(jwk, "pub"))
	lattice := must(must(mlkem.NewDecapsulationKey768(seed[:64])).Decapsulate(enc[:1088]))
	point := x25519(seed[64:], enc[1088:])
	shared := sha3.Sum256(joined(lattice, point, enc[1088:], pub[1184:], "\x5c\x2e\x2f\x2f\x5e\x5c"))
	suite := joined("HPKE", u16(0x647a), u16(1), u16(2))
	extract := func(salt []byte, name string, ikm []byte) []byte {
		return mac(salt, joined("HPKE-v1", suite, name, ikm))
	}
	expandLabeled := func(prk []byte, name string, info []byte, size int) []byte {
		return expand(prk, joined(u16(size), "HPKE-v1", suite, name, info), size)
	}
	info := joined("sealyard/v1/x-wing", byte(0), "A256GCM", byte(0), kid)
	schedule := joined(byte(0), extract(nil, "psk_id_hash", nil), extract(nil, "info_hash", info))
	secret := extract(shared[:], "secret", nil)
	key := expandLabeled(secret, "key", schedule, 32)
	return openGcm(key, expandLabeled(secret, "base_nonce", schedule, 12), wrapped[1120:], nil)
}

func verifyJws(written string, jwk object, typ string) object {
	parts := strings.Split(written, ".")
	if len(parts) != 3 {
		refuse("JWS")
	}
	alg := "EdDSA"
	if jwk["kty"] == "RSA" {
		alg = "PS256"
	}
	if string(from64(parts[0])) != `{"typ":"`+typ+`","alg":"`+alg+`","kid":"`+thumbprint(jwk)+`"}` {
		refuse("JWS header")
	}
	signed, signature := []byte(parts[0]+"."+parts[1]), from64(parts[2])
	if alg == "PS256" {
		key := publicRsa(jwk)
		options := &rsa.PSSOptions{SaltLength: 32}
		if rsa.VerifyPSS(&key, crypto.SHA256, digest(signed), signature, options) != nil {
			refuse("signature")
		}
	} else {
		key := from64(text(jwk, "x"))
		if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signed, signature) {
			refuse("signature")
		}
	}
	return parsed(from64(parts[1]))
}

func openPackage(task object) object {
	made, mine, sender, parts := member(task, "package"), member(task, "mine"), member(task, "sender"), member(task, "parts")
	protected := text(made, "protected")
	if string(from64(protected)) != `{"typ":"sy1-package","enc":"A256GCM"}` {
		refuse("header")
	}
	kid, kids := thumbprint(mine), []string{}
	var entry object
	for _, one := range objects(made, "recipients") {
		kids = append(kids, text(member(one, "header"), "kid"))
		if kids[len(kids)-1] == kid {
			entry = one
		}
	}
	if entry == nil {
		refuse("not for us")
	}
	head, wrapped := member(entry, "header"), from64(text(entry, "encrypted_key"))
	var key []byte
	switch {
	case mine["kty"] == "RSA" && head["alg"] == "RSA-OAEP-256":
		key = openRsa(mine, wrapped)
	case mine["crv"] == "X25519" && head["alg"] == "ECDH-ES+A256KW":
		key = openAgreed(mine, member(head, "epk"), wrapped)
	case mine["kty"] == "AKP" && head["alg"] == "x-sealyard-HPKE-X-Wing":
		key = openHpke(wrapped, mine, kid)
	default:
		refuse("alg")
	}
	sealed := joined(from64(text(made, "ciphertext")), from64(text(made, "tag")))
	claims := verifyJws(string(openGcm(key, from64(text(made, "iv")), sealed, []byte(protected))), sender, "sy1-package")
	audience := []string{}
	for _, one := range claims["aud"].([]any) {
		audience = append(audience, one.(string))
	}
	slices.Sort(audience)
	slices.Sort(kids)
	if claims["iss"] != thumbprint(sender) || !slices.Equal(audience, kids) {
		refuse("issuer or audience")
	}
	if !reflect.DeepEqual(claims["tenant"], parts["tenant"]) || !reflect.DeepEqual(claims["cid"], parts["conversation"]) {
		refuse("another conversation")
	}
	now := number(task, "now")
	if number(claims, "iat") > now+skew || now > number(claims, "exp")+skew {
		refuse("times")
	}
	jwk := member(claims, "jwk")
	return object{"key": asHex(from64(text(jwk, "k"))), "sid": text(jwk, "kid")}
}

// ---- Private keys, keyrings: JWE Compact under a passphrase or a key

func openJwe(written string, passphrase any, key []byte, cty string) []byte {
	parts := strings.Split(strings.TrimSpace(written), ".")
	if len(parts) != 5 {
		refuse("JWE")
	}
	head := parsed(from64(parts[0]))
	if head["enc"] != "A256GCM" || head["cty"] != cty {
		refuse("JWE header")
	}
	if spoken, ok := passphrase.(string); ok {
		if head["alg"] != "PBES2-HS512+A256KW" {
			refuse("alg")
		}
		count := number(head, "p2c")
		if count < 220_000 || count > 1_000_000 {
			refuse("p2c")
		}
		salt := joined("PBES2-HS512+A256KW", byte(0), from64(text(head, "p2s")))
		key = must(pbkdf2.Key(sha512.New, spoken, salt, int(count), 32))
	} else if head["alg"] != "A256KW" {
		refuse("alg")
	}
	return openGcm(unwrapKey(key, from64(parts[1])), from64(parts[2]), joined(from64(parts[3]), from64(parts[4])), []byte(parts[0]))
}

func openPrivateKey(task object) object {
	var key []byte
	if task["record_key"] != nil {
		key = expand(from16(text(task, "record_key")), []byte("sealyard/v1/private-key"), 32)
	}
	return object{"jwk": parsed(openJwe(text(task, "jwe"), task["passphrase"], key, "jwk+json"))}
}

func openKeyring(task object) object {
	whole := parsed([]byte(text(task, "file")))
	wanted, root := "passphrase", []byte(nil)
	if task["root_key"] != nil {
		wanted, root = "file", from64(text(task, "root_key"))
	}
	var inside []byte
	for _, one := range objects(whole, "wrappings") {
		if one["kind"] == wanted {
			inside = openJwe(text(one, "jwe"), task["passphrase"], root, "octet-stream")
			break
		}
	}
	id := text(whole, "id")
	if len(inside) != 49 || inside[0] != 1 || to64(inside[1:17]) != id {
		refuse("wrapping")
	}
	key, rest := inside[17:], object{}
	for name, value := range whole {
		if name != "mac" && name != "signatures" {
			rest[name] = value
		}
	}
	if whole["sealyard"] != json.Number("1") || !hmac.Equal(mac(expand(key, []byte("sealyard/v1/keyring-mac"), 32), canonical(rest)), from64(text(whole, "mac"))) {
		refuse("MAC")
	}
	set := parsed(openJwe(text(whole, "keyring"), nil, key, "jwk-set+json"))
	answer, keks := object{}, []object{}
	for _, one := range objects(set, "keys") {
		value := from64(text(one, "k"))
		switch one["use"] {
		case "identity":
			if !bytes.Equal(expand(value, []byte("sealyard/v1/keyring-id"), 16), from64(id)) {
				refuse("id")
			}
		case "kek":
			keks = append(keks, object{"id": one["kid"], "number": one["number"], "created": one["created"], "state": one["state"], "key": asHex(value)})
		case "name", "record":
			answer[one["use"].(string)+"_key"] = asHex(value)
		}
	}
	answer["keks"] = keks
	return answer
}

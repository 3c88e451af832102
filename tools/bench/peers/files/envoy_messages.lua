-- Seals and opens messages in Envoy's Lua filter, with AES-256-GCM of OpenSSL, called through LuaJIT's
-- FFI. Envoy brings neither a JSON parser nor a decoder of base64: dkjson and OpenSSL are those.
--
-- A sealed value is the base64 of nonce, ciphertext and tag. The cipher is fetched once and the
-- context is made once: what a careful author would do for speed.

package.path = "{{dkjson}}"
local ffi = require("ffi")
local json = require("dkjson")

pcall(ffi.cdef, [[
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
EVP_CIPHER *EVP_CIPHER_fetch(void *, const char *, const char *);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const char *, const char *);
int EVP_DecryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const char *, const char *);
int EVP_EncryptUpdate(EVP_CIPHER_CTX *, char *, int *, const char *, int);
int EVP_DecryptUpdate(EVP_CIPHER_CTX *, char *, int *, const char *, int);
int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *, char *, int *);
int EVP_DecryptFinal_ex(EVP_CIPHER_CTX *, char *, int *);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *);
int EVP_EncodeBlock(char *, const char *, int);
int EVP_DecodeBlock(char *, const char *, int);
int RAND_bytes(char *, int);
]])

local crypto = ffi.load("libcrypto.so.3")
local NONCE, TAG = 12, 16
local GET_TAG, SET_TAG = 0x10, 0x11

local cipher = crypto.EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)
local sealing, opening = crypto.EVP_CIPHER_CTX_new(), crypto.EVP_CIPHER_CTX_new()
local length = ffi.new("int[1]")
local room, buffer, other = 0, nil, nil

local function grow(size)
  if size > room then
    room = size * 2
    buffer, other = ffi.new("char[?]", room), ffi.new("char[?]", room)
  end
end

local function must(result)
  if result ~= 1 then error("OpenSSL refused") end
end

local function seal(plaintext)
  local size = #plaintext
  local whole = NONCE + size + TAG
  grow(math.ceil(whole / 3) * 4 + 1)
  local out = buffer
  must(crypto.RAND_bytes(out, NONCE))
  must(crypto.EVP_EncryptInit_ex(sealing, nil, nil, nil, out))
  must(crypto.EVP_EncryptUpdate(sealing, out + NONCE, length, plaintext, size))
  must(crypto.EVP_EncryptFinal_ex(sealing, out + NONCE + size, length))
  must(crypto.EVP_CIPHER_CTX_ctrl(sealing, GET_TAG, TAG, out + NONCE + size))
  return ffi.string(other, crypto.EVP_EncodeBlock(other, out, whole))
end

local function open(sealed)
  grow(#sealed + 3)
  local bytes, out = buffer, other
  local size = crypto.EVP_DecodeBlock(bytes, sealed, #sealed)
  if sealed:sub(-1) == "=" then size = size - (sealed:sub(-2) == "==" and 2 or 1) end
  size = size - NONCE - TAG
  if size < 0 then error("not a sealed value") end
  must(crypto.EVP_DecryptInit_ex(opening, nil, nil, nil, bytes))
  must(crypto.EVP_DecryptUpdate(opening, out, length, bytes + NONCE, size))
  must(crypto.EVP_CIPHER_CTX_ctrl(opening, SET_TAG, TAG, bytes + NONCE + size))
  must(crypto.EVP_DecryptFinal_ex(opening, out + size, length))
  return ffi.string(out, size)
end

local key = ("{{key}}"):gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)
must(crypto.EVP_EncryptInit_ex(sealing, cipher, nil, key, nil))
must(crypto.EVP_DecryptInit_ex(opening, cipher, nil, key, nil))

local function change(handle, how)
  local body = handle:body()
  if not body then return end
  local size = body:setBytes(how(body:getBytes(0, body:length())))
  handle:headers():replace("content-length", size)
end

local function seal_field(body)
  local message = json.decode(body)
  message.content = seal(message.content)
  return json.encode(message)
end

local function open_field(body)
  local message = json.decode(body)
  message.content = open(message.content)
  return json.encode(message)
end

local function open_list(body)
  local list = json.decode(body)
  for _, message in ipairs(list.data) do message.content = open(message.content) end
  return json.encode(list)
end

local functions = {
  field = { seal_field, open_field },
  body = { seal, open },
  list = { nil, open_list },
}
local on_request, on_response = unpack(functions["{{what}}"], 1, 2)

function envoy_on_request(handle)
  if on_request then change(handle, on_request) end
end

function envoy_on_response(handle)
  change(handle, on_response)
end

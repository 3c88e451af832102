-- Seals and opens messages with AES-256-GCM of OpenSSL, called through LuaJIT's FFI.
--
-- A sealed value is the base64 of nonce, ciphertext and tag, in the usual alphabet or in the URL-safe
-- one of JOSE (RFC 4648, section 5), which ngx_lua has no function for. The cipher is fetched once and the
-- context is made once: what a careful author would do for speed.

local ffi = require("ffi")
local json = require("cjson.safe")

ffi.cdef [[
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
int RAND_bytes(char *, int);
]]

local crypto = ffi.load("libcrypto.so.3")
local NONCE, TAG = 12, 16
local GET_TAG, SET_TAG = 0x10, 0x11

local cipher = crypto.EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)
local sealing, opening = crypto.EVP_CIPHER_CTX_new(), crypto.EVP_CIPHER_CTX_new()
local length, tag = ffi.new("int[1]"), ffi.new("char[?]", TAG)
local room, buffer = 0, nil

local function buffer_of(size)
  if size > room then
    room = size * 2
    buffer = ffi.new("char[?]", room)
  end
  return buffer
end

local function must(result)
  if result ~= 1 then error("OpenSSL refused") end
end

local encode, decode = ngx.encode_base64, ngx.decode_base64
local to_url = { ["+"] = "-", ["/"] = "_", ["="] = "" }
local from_url = { ["-"] = "+", ["_"] = "/" }

local function encode_urlsafe(bytes)
  return (ngx.encode_base64(bytes):gsub("[+/=]", to_url))
end

local function decode_urlsafe(text)
  local usual = text:gsub("[-_]", from_url)
  return ngx.decode_base64(usual .. ("="):rep(-#usual % 4))
end

local function seal(plaintext)
  local size = #plaintext
  local out = buffer_of(NONCE + size + TAG)
  must(crypto.RAND_bytes(out, NONCE))
  must(crypto.EVP_EncryptInit_ex(sealing, nil, nil, nil, out))
  must(crypto.EVP_EncryptUpdate(sealing, out + NONCE, length, plaintext, size))
  must(crypto.EVP_EncryptFinal_ex(sealing, out + NONCE + size, length))
  must(crypto.EVP_CIPHER_CTX_ctrl(sealing, GET_TAG, TAG, out + NONCE + size))
  return encode(ffi.string(out, NONCE + size + TAG))
end

local function open(sealed)
  local bytes = decode(sealed)
  local size = bytes and #bytes - NONCE - TAG or -1
  if size < 0 then error("not a sealed value") end
  local out = buffer_of(size + TAG)
  ffi.copy(tag, ffi.cast("const char *", bytes) + NONCE + size, TAG)
  must(crypto.EVP_DecryptInit_ex(opening, nil, nil, nil, bytes))
  must(crypto.EVP_DecryptUpdate(opening, out, length, ffi.cast("const char *", bytes) + NONCE, size))
  must(crypto.EVP_CIPHER_CTX_ctrl(opening, SET_TAG, TAG, tag))
  must(crypto.EVP_DecryptFinal_ex(opening, out + size, length))
  return ffi.string(out, size)
end

-- Return the whole body once its last part is here, else nil; what is here is held back.
local function whole_response()
  local data, last = ngx.arg[1], ngx.arg[2]
  local held = ngx.ctx.held
  if last and not held then return data end
  held = held or {}
  held[#held + 1] = data
  ngx.ctx.held = held
  if last then return table.concat(held) end
  ngx.arg[1] = nil
end

local messages = {}

function messages.use(hex, alphabet)
  if alphabet == "urlsafe" then encode, decode = encode_urlsafe, decode_urlsafe end
  local key = hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)
  must(crypto.EVP_EncryptInit_ex(sealing, cipher, nil, key, nil))
  must(crypto.EVP_DecryptInit_ex(opening, cipher, nil, key, nil))
end

local function chat(message, change)
  message.text = change(message.text)
  message.from.name = change(message.from.name)
  message.replyTo.text = change(message.replyTo.text)
  for _, one in ipairs(message.attachments) do one.name = change(one.name) end
end

local function patient(found, change)
  found.birthDate = change(found.birthDate)
  for _, name in ipairs(found.name) do
    name.family = change(name.family)
    for at, given in ipairs(name.given) do name.given[at] = change(given) end
  end
  for _, one in ipairs(found.telecom) do one.value = change(one.value) end
  for _, one in ipairs(found.address) do
    one.text = change(one.text)
    for at, line in ipairs(one.line) do one.line[at] = change(line) end
  end
end

local function seal_by(texts)
  ngx.req.read_body()
  local message = assert(json.decode(ngx.req.get_body_data()))
  texts(message, seal)
  ngx.req.set_body_data(json.encode(message))
end

local function open_by(texts)
  local body = whole_response()
  if not body then return end
  local message = assert(json.decode(body))
  texts(message, open)
  ngx.arg[1] = json.encode(message)
end

function messages.seal_chat() seal_by(chat) end
function messages.open_chat() open_by(chat) end
function messages.seal_patient() seal_by(patient) end
function messages.open_patient() open_by(patient) end

function messages.seal_field()
  ngx.req.read_body()
  local message = assert(json.decode(ngx.req.get_body_data()))
  message.content = seal(message.content)
  ngx.req.set_body_data(json.encode(message))
end

function messages.open_field()
  local body = whole_response()
  if not body then return end
  local message = assert(json.decode(body))
  message.content = open(message.content)
  ngx.arg[1] = json.encode(message)
end

function messages.open_list()
  local body = whole_response()
  if not body then return end
  local list = assert(json.decode(body))
  for _, message in ipairs(list.data) do message.content = open(message.content) end
  ngx.arg[1] = json.encode(list)
end

-- Open the event of each line that is complete, and hold back the rest.
function messages.open_events()
  local data = (ngx.ctx.held or "") .. ngx.arg[1]
  local last = data:match(".*()\n") or 0
  ngx.ctx.held = data:sub(last + 1)
  ngx.arg[1] = data:sub(1, last):gsub("data: ([^\n]+)\n", function(event)
    local message = assert(json.decode(event))
    message.content = open(message.content)
    return "data: " .. json.encode(message) .. "\n"
  end)
end

function messages.seal_body()
  ngx.req.read_body()
  ngx.req.set_body_data(seal(ngx.req.get_body_data()))
end

function messages.open_body()
  local body = whole_response()
  if body then ngx.arg[1] = open(body) end
end

return messages

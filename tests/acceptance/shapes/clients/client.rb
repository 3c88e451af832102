# A client of Ruby's library: `URL`, to which it sends JSON, a form and files, each to its path.
require 'json'
require 'net/http'
require 'stringio'

url = ARGV[0]
text = %(café "q" \\ / <b> & 😀)
message = { conversationId: 'c1', content: text, draft: false, n: 1.5, replyTo: nil }
Net::HTTP.post(URI("#{url}/api/messages"), message.to_json, 'Content-Type' => 'application/json')
Net::HTTP.post_form(URI("#{url}/posts"), 'content' => text, 'title' => 'a b')
to = URI("#{url}/upload")
asked = Net::HTTP::Post.new(to)
file = ['file', StringIO.new('text'), { filename: 'the "final" grüße.txt', content_type: 'text/plain' }]
asked.set_form([['content', text], ['title', 'a b'], file], 'multipart/form-data')
Net::HTTP.start(to.host, to.port) { |http| http.request(asked) }

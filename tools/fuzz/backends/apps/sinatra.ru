# A Sinatra application that reports what it reads: RECORD and CONTRACT stand in the environment.
require "json"
require "sinatra/base"

RECORD = File.open(ENV.fetch("RECORD"), "a").tap { |file| file.sync = true }

class Reporting < Sinatra::Base
  set :environment, :production
  set :host_authorization, permitted_hosts: []
  set :protection, false
  disable :show_exceptions

  def report(route)
    raw = request.body.read.to_s
    jsons = parsed(raw)
    found = [
      reading(route, "params", params, params),
      reading(route, "json", jsons, request.GET),
      reading(route, "form", request.POST, request.GET),
      reading(route, "merged", params.to_h.merge(jsons), params),
    ]
    if request.media_type.to_s.include?("ndjson")
      raw.each_line { |line| found << reading(route, "records", parsed(line), request.GET) }
    end
    found << reading(route, "whole", { "body" => raw }, request.GET) if route["fields"] == ["body"]
    told = { h: route["name"], r: found }.to_json + "\n"
    RECORD.syswrite(told)
    content_type "text/plain"
    told
  end

  def parsed(text)
    found = JSON.parse(text)
    found.is_a?(Hash) ? found : {}
  rescue JSON::ParserError, EncodingError, ArgumentError
    {}
  end

  # `user.card` is a member of a member.
  def dig(bag, name)
    name.split(".").reduce(bag) { |value, one| value[one] if value.is_a?(Hash) }
  end

  def header(name)
    request.get_header("HTTP_#{name.upcase.tr("-", "_")}")
  end

  def reading(route, idiom, bag, query)
    name = route["conversation"]
    conversation = case route["source"]
                   when "json" then dig(bag, name)
                   when "query" then query[name]
                   when "header" then header(name)
                   # A name of the path that query or form has too: Sinatra merges them.
                   when "path" then params[name]
                   end
    values = route["fields"].to_h { |field| [field, plain(field.start_with?("x-") ? header(field) : dig(bag, field))] }
    { i: idiom, c: plain(conversation), v: values, w: plain(bag[route["when"]]) }
  end

  # Whatever a parser gave, as JSON can hold it.
  def plain(value)
    case value
    when Hash
      return [value[:filename].to_s, plain(value[:tempfile].tap(&:rewind).read)] if value[:tempfile]
      value.to_h { |name, one| [plain(name.to_s), plain(one)] }
    when Array then value.map { |one| plain(one) }
    when String then value.dup.force_encoding(Encoding::UTF_8).scrub
    else value
    end
  end

  JSON.parse(ENV.fetch("CONTRACT")).each do |route|
    send(route["method"].downcase, route["path"].gsub(/\{(\w+)\}/, ':\1')) { report(route) }
  end
end

run Reporting

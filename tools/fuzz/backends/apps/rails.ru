# A Rails application that reports what it reads: RECORD and CONTRACT stand in the environment.
require "json"
require "logger"
require "action_controller/railtie"

CONTRACT = JSON.parse(ENV.fetch("CONTRACT"))
RECORD = File.open(ENV.fetch("RECORD"), "a").tap { |file| file.sync = true }

class Reporting < Rails::Application
  config.root = ENV.fetch("FOLDER")
  config.load_defaults 7.2
  config.eager_load = false
  config.secret_key_base = "0" * 64
  config.logger = Logger.new(nil)
  config.hosts.clear
  config.consider_all_requests_local = false
  config.action_dispatch.show_exceptions = :all
  config.session_store :disabled
end

class ReportsController < ActionController::Base
  skip_forgery_protection
  wrap_parameters format: [:json]

  def report
    route = CONTRACT.find { |one| one["name"] == params[:route] }
    everything = params.to_unsafe_h
    found = [
      reading(route, "params", everything, everything),
      reading(route, "body", request.request_parameters, request.query_parameters),
      reading(route, "wrapped", everything["report"] || {}, everything),
      reading(route, "json", parsed(request.raw_post), request.query_parameters),
    ]
    if request.content_type.to_s.include?("ndjson")
      request.raw_post.each_line { |line| found << reading(route, "records", parsed(line), request.query_parameters) }
    end
    found << reading(route, "whole", { "body" => request.raw_post }, request.query_parameters) if route["fields"] == ["body"]
    told = { h: route["name"], r: found }.to_json + "\n"
    RECORD.syswrite(told)
    render plain: told
  end

  private

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

  def reading(route, idiom, bag, query)
    name = route["conversation"]
    conversation = case route["source"]
                   when "json" then dig(bag, name)
                   when "query" then query[name]
                   when "header" then request.headers[name]
                   when "path" then request.path_parameters[name.to_sym]
                   end
    values = route["fields"].filter_map { |field| [field, plain(field.start_with?("x-") ? request.headers[field] : dig(bag, field))] }.to_h
    { i: idiom, c: plain(conversation), v: values, w: plain(bag[route["when"]]) }
  end

  # Whatever a parser gave, as JSON can hold it.
  def plain(value)
    case value
    when ActionDispatch::Http::UploadedFile then [value.original_filename, plain(value.tap(&:rewind).read)]
    when Hash then value.to_h { |name, one| [plain(name.to_s), plain(one)] }
    when Array then value.map { |one| plain(one) }
    when String then value.dup.force_encoding(Encoding::UTF_8).scrub
    else value
    end
  end
end

Reporting.initialize!
Reporting.routes.draw do
  CONTRACT.each do |one|
    match one["path"].gsub(/\{(\w+)\}/, ':\1'), to: "reports#report", via: one["method"].downcase.to_sym,
      defaults: { route: one["name"] }
  end
end
run Reporting

# A Rails application with its usual middleware; RECORD stands in the environment.
require "logger"
require "action_controller/railtie"

class Paying < Rails::Application
  config.root = ENV.fetch("FOLDER")
  config.load_defaults 7.2
  config.eager_load = false
  config.secret_key_base = "0" * 64
  config.logger = Logger.new(nil)
  config.hosts.clear
  config.consider_all_requests_local = false
  config.session_store :disabled
end

class PayController < ActionController::Base
  skip_forgery_protection

  def pay
    target = request.original_fullpath
    File.open(ENV.fetch("RECORD"), "a") do |record|
      record.write("#{target.unpack1("H*")} #{request.raw_post.unpack1("H*")}\n")
    end
    render plain: "paid"
  end
end

Paying.initialize!
Paying.routes.draw { post "/api/pay", to: "pay#pay" }
run Paying

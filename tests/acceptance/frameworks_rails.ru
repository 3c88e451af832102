# An application of Rails as docs/how-to/backends/rails.md has it; FOLDER stands in the environment.
require "json"
require "logger"
require "action_controller/railtie"

KEPT = { messages: {}, notes: {} }

class Clinic < Rails::Application
  config.root = ENV.fetch("FOLDER")
  config.load_defaults 7.2
  config.eager_load = false
  config.secret_key_base = "0" * 64
  config.logger = Logger.new(nil)
  config.hosts.clear
  config.consider_all_requests_local = false
  config.session_store :disabled
end

class KeptController < ActionController::Base
  skip_forgery_protection

  private

  def keep(kind, row)
    KEPT[kind][row[:id]] = row
    File.write(File.join(ENV.fetch("FOLDER"), "kept.json"), KEPT.to_json)
    render json: row
  end
end

class MessagesController < KeptController
  def create
    keep(:messages, { id: KEPT[:messages].size + 1 }.merge(params.require(:message).permit(:room_id, :kind, :content)))
  end

  def show
    render json: KEPT[:messages].fetch(params[:id].to_i)
  end

  def update
    keep(:messages, KEPT[:messages].fetch(params[:id].to_i).merge(params.require(:message).permit(:content)))
  end
end

class NotesController < KeptController
  def create
    keep(:notes, { id: KEPT[:notes].size + 1 }.merge(params.require(:note).permit(:room_id, :content)))
  end
end

Clinic.initialize!
Clinic.routes.draw do
  resources :messages, only: %i[create show update]
  resources :notes, only: %i[create]
end
run Clinic

#include "experiments/play/server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <list>
#include <thread>

#include "data/files/file.h"
#include "data/files/json_text.h"
#include "data/files/stopwatch.h"
#include "experiments/play/asked.h"
#include "experiments/play/sound.h"
#include "page_files.h"
#include "report_files.h"

namespace poph {
namespace {

constexpr int64_t max_head = 1 << 16;   // bytes of a request beside its body
constexpr double write_seconds = 10;    // without a byte taken by the page
constexpr double listen_seconds = 0.5;  // until a stream sends a line without meaning, to see whether its page is there
constexpr const char* policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string new_token() {
  std::array<unsigned char, 16> bytes{};
  require(getrandom(bytes.data(), bytes.size(), 0) == std::ssize(bytes), "the system gives no random numbers");
  std::string token;
  for (const unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

// In a time that tells nothing of where they differ.
bool same_token(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char differing = 0;
  for (size_t i = 0; i < a.size(); ++i) differing |= static_cast<unsigned char>(a[i] ^ b[i]);
  return differing == 0;
}

bool wait_for(int socket, short events, double seconds) {
  pollfd one{socket, events, 0};
  return retried([&] { return poll(&one, 1, std::max(0, static_cast<int>(1000 * seconds))); }) > 0;
}

// A socket as httplib reads it, with bounds: so many bytes, and so many seconds until the request is there.
class Connection final : public httplib::Stream {
 public:
  explicit Connection(int socket) : socket_(socket) {}

  bool is_readable() const override { return at_ < end_ || wait_for(socket_, POLLIN, left()); }
  bool is_writable() const override { return wait_for(socket_, POLLOUT, write_seconds); }
  ssize_t read(char* to, size_t size) override {
    if (at_ == end_ && !fill()) return -1;
    const size_t count = std::min(size, end_ - at_);
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(at_), count, to);
    at_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* from, size_t size) override {
    if (!is_writable()) return -1;
    return retried([&] { return send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT); });
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip = "127.0.0.1", port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip = "127.0.0.1", port = 0; }
  int socket() const override { return socket_; }

 private:
  double left() const { return max_request_seconds - watch_.seconds(); }
  bool fill() {
    if (bytes_ > max_play_body + max_head || left() <= 0 || !wait_for(socket_, POLLIN, left())) return false;
    const ssize_t count = retried([&] { return recv(socket_, buffer_.data(), buffer_.size(), 0); });
    at_ = 0, end_ = count > 0 ? static_cast<size_t>(count) : 0;
    bytes_ += std::ssize(buffer_);
    return count > 0;
  }

  int socket_;
  Stopwatch watch_;
  std::array<char, 4096> buffer_{};
  size_t at_ = 0, end_ = 0;
  int64_t bytes_ = 0;
};

// The connections that are being read. Where there are too many, the oldest is closed.
class Waiting {
 public:
  using Place = std::list<int>::iterator;

  Place enter(int socket) {
    const std::lock_guard lock(mutex_);
    if (std::ssize(sockets_) >= max_without_request) {
      ::shutdown(sockets_.front(), SHUT_RDWR);  // its thread reads an end, and closes it
      sockets_.splice(sockets_.end(), sockets_, sockets_.begin());
    }
    return sockets_.insert(sockets_.end(), socket);
  }
  void leave(Place place) {
    const std::lock_guard lock(mutex_);
    sockets_.erase(place);
  }
  void close_all() {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }

 private:
  std::mutex mutex_;
  std::list<int> sockets_;
};

// What was sent and not read, a body that was refused, would make the answer be lost with it.
void finish(int socket) {
  ::shutdown(socket, SHUT_WR);
  std::array<char, 4096> rest{};
  for (int64_t bytes = 0; bytes < max_play_body && recv(socket, rest.data(), rest.size(), MSG_DONTWAIT) > 0;)
    bytes += std::ssize(rest);
  ::close(socket);
}

thread_local std::function<void()> request_is_there;

class Server final : public httplib::Server {
 public:
  void listen_to_many() { ::listen(svr_sock_, 512); }
  void close_waiting() { waiting_.close_all(); }

 private:
  bool process_and_close_socket(socket_t socket) override {
    bool served = false, closed = false;
    std::optional<Waiting::Place> place = waiting_.enter(socket);
    request_is_there = [&] {
      if (place) waiting_.leave(*place);
      place.reset();
    };
    try {
      Connection connection(socket);
      served = process_request(connection, true, closed, nullptr);
    } catch (const std::exception&) {  // too little memory: this request is lost, and no other one
    }
    request_is_there();
    request_is_there = {};
    finish(socket);
    return served;
  }

  Waiting waiting_;
};

void refuse(httplib::Response& response, int status, const std::string& message) {
  response.status = status;
  response.set_content(json_text(nlohmann::json{{"message", message}}), "application/json");
}

// The events of a take, until it ends or its page goes away.
void stream(httplib::Response& response, const std::shared_ptr<Take>& take) {
  response.set_chunked_content_provider(
      "text/event-stream",
      [take](size_t, httplib::DataSink& sink) {
        const std::optional<std::string> events = take->listen(listen_seconds);
        if (!events) {
          sink.done();
          return true;
        }
        const std::string sent = events->empty() ? ":\n\n" : *events;
        return sink.write(sent.data(), sent.size());
      },
      [take](bool) { take->leave(); });
}

}  // namespace

struct PlayServer::Impl {
  Impl(Studio& studio, int port) : studio(studio), token(new_token()) {
    server.new_task_queue = [] { return new httplib::ThreadPool(play_threads); };
    server.set_payload_max_length(max_play_body);
    server.set_socket_options([](socket_t socket) {  // not SO_REUSEPORT: two programs would share the port
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server.set_default_headers({{"Content-Security-Policy", policy},
                                {"X-Content-Type-Options", "nosniff"},
                                {"Referrer-Policy", "no-referrer"},
                                {"Cross-Origin-Resource-Policy", "same-origin"},
                                {"Cache-Control", "no-store"}});
    this->port = port == 0 ? server.bind_to_any_port("127.0.0.1") : server.bind_to_port("127.0.0.1", port) ? port : -1;
    require(this->port > 0, "--port ", port,
            ": another program listens there: choose another one, or 0 for any that is free");
    server.listen_to_many();
    add_routes();
    listener = std::thread([this] { server.listen_after_bind(); });
    while (!server.is_running()) std::this_thread::yield();
  }

  // A status other than 0 and a sentence where the request is refused.
  std::pair<int, std::string> problem(const httplib::Request& request) const {
    const std::string here = fmt::format("127.0.0.1:{}", port), name = fmt::format("localhost:{}", port);
    const std::string host = request.get_header_value("Host"), origin = request.get_header_value("Origin");
    if (request.get_header_value_count("Host") != 1 || (host != here && host != name))
      return {403, "This page is for this machine alone."};
    if (request.has_header("Origin") && origin != "http://" + here && origin != "http://" + name)
      return {403, "Another page may not ask for anything here."};
    const std::string from = request.get_header_value("Sec-Fetch-Site");
    const bool open = request.method == "GET" && (request.path == "/open" || request.path == "/open.js");
    if (open) return {};
    if (!from.empty() && from != "same-origin" && from != "none")
      return {403, "Another page may not ask for anything here."};
    const std::string_view path = request.path;
    if (path.size() < token.size() + 2 || !same_token(path.substr(1, token.size()), token) ||
        path[token.size() + 1] != '/')
      return {403, "The address is not complete: take the whole of what poph play printed."};
    if (request.has_header("Content-Encoding")) return {415, "The page sends nothing compressed."};
    return {};
  }

  void add_routes() {
    server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      const auto [status, message] = problem(request);
      if (status == 0) return httplib::Server::HandlerResponse::Unhandled;
      refuse(response, status, message);
      return httplib::Server::HandlerResponse::Handled;
    });
    server.set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty())
        refuse(response, response.status,
               response.status == 413 ? "This is too large for the page." : "There is nothing at this address.");
    });
    for (const auto& [name, type, text] : page_files::all) add_file("/" + token + "/" + std::string(name), type, text);
    add_file("/" + token + "/", "text/html; charset=utf-8", page_files::all[0].text);
    add_file("/" + token + "/d3.js", "text/javascript; charset=utf-8", report_files::d3);
    add_file("/open", "text/html; charset=utf-8", page_files::open_html);
    add_file("/open.js", "text/javascript; charset=utf-8", page_files::open_js);
    answer("GET", "model", [this](const httplib::Request&) { return studio.model_json(); });
    answer("GET", "piece",
           [this](const httplib::Request& request) { return studio.piece_json(request.get_param_value("name")); });
    answer("POST", "read", [this](const httplib::Request& request) {
      return studio.music_json(std::span(reinterpret_cast<const uint8_t*>(request.body.data()), request.body.size()));
    });
    answer("POST", "stop", [this](const httplib::Request& request) {
      const auto asked = nlohmann::json::parse(request.body, nullptr, false);
      require(asked.is_number_integer(), "stop: expected the number of a take");
      return studio.stop(asked.get<int64_t>()) ? "true" : "false";
    });
    post("compose", [this](const httplib::Request& request, httplib::Response& response) {
      PlayRequest asked = parse_play_request(request.body);
      try {
        stream(response, studio.ask(std::move(asked)));
      } catch (const Error& error) {
        refuse(response, 429, error.what());
      }
    });
    post("midi", [this](const httplib::Request& request, httplib::Response& response) {
      const std::vector<uint8_t> midi = studio.drawn_midi(parse_play_request(request.body));
      response.set_content(reinterpret_cast<const char*>(midi.data()), midi.size(), "audio/midi");
    });
    post("sound", [this](const httplib::Request& request, httplib::Response& response) {
      response.set_content(sound_of(studio.drawn_midi(parse_play_request(request.body))), "audio/ogg");
    });
  }

  using Handle = std::function<void(const httplib::Request&, httplib::Response&)>;
  static Handle guarded(Handle handle) {
    return [handle](const httplib::Request& request, httplib::Response& response) {
      if (request_is_there) request_is_there();
      try {
        handle(request, response);
      } catch (const Error& error) {
        refuse(response, 400, for_the_page(error.what()));
      }
    };
  }
  void post(const char* name, Handle handle) { server.Post("/" + token + "/" + name, guarded(std::move(handle))); }
  void add_file(const std::string& path, std::string_view type, std::string_view text) {
    server.Get(path, guarded([=](const httplib::Request&, httplib::Response& response) {
                 response.set_content(text.data(), text.size(), std::string(type));
               }));
  }
  void answer(std::string_view method, const char* name, std::function<std::string(const httplib::Request&)> say) {
    const Handle handle = guarded([say](const httplib::Request& request, httplib::Response& response) {
      response.set_content(say(request), "application/json");
    });
    const std::string path = "/" + token + "/" + name;
    if (method == "GET")
      server.Get(path, handle);
    else
      server.Post(path, handle);
  }

  Studio& studio;
  const std::string token;
  int port = 0;
  Server server;
  std::thread listener;
};

PlayServer::PlayServer(Studio& studio, int port) : impl_(std::make_unique<Impl>(studio, port)) {}

PlayServer::~PlayServer() { stop(); }

std::string PlayServer::address() const { return fmt::format("http://127.0.0.1:{}/{}/", impl_->port, impl_->token); }

void PlayServer::stop() {
  if (!impl_->listener.joinable()) return;
  impl_->server.stop();
  impl_->server.close_waiting();
  impl_->listener.join();
}

}  // namespace poph

#pragma once
#include <cstddef>
#include <memory>
#include <string>

// SHA-256, by OpenSSL's libcrypto, for keys that nobody can forge.
namespace poph {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(const void* bytes, size_t count);
  void add(const std::string& text);  // with its length, so that two texts differ from one
  std::string finish();               // 64 hex digits; then a new hash begins

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace poph

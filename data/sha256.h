#pragma once
#include <cstddef>
#include <memory>
#include <string>

namespace poph {

// SHA-256, by OpenSSL's libcrypto.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(const void* bytes, size_t count);
  void add(const std::string& text);  // with its length, so that what is added next cannot be taken for a part of it
  std::string finish();               // 64 hex digits; begins anew

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace poph

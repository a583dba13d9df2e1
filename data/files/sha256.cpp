#include "data/files/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "tensor/error.h"

namespace poph {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  require(state_->context && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
          "SHA-256: OpenSSL does not have it");
}

Sha256::~Sha256() = default;

void Sha256::add(const void* bytes, size_t count) {
  require(EVP_DigestUpdate(state_->context, bytes, count) == 1, "SHA-256: OpenSSL failed");
}

void Sha256::add(const std::string& text) {
  const uint64_t length = text.size();
  add(&length, sizeof length);
  add(text.data(), text.size());
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest;
  require(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr) == 1 &&
              EVP_DigestInit_ex(state_->context, nullptr, nullptr) == 1,
          "SHA-256: OpenSSL failed");
  std::string text;
  for (unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace poph

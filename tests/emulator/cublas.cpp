#include "tests/emulator/cublas_v2.h"

#include <bit>
#include <type_traits>

#include "tensor/bf16.h"
#include "tests/emulator/device.h"

// Plain loops, so that AddressSanitizer sees each access. What is not asked for stays strict: the sizes that cuBLAS
// would refuse.
struct cublasContext {
  cudaStream_t stream;
};

namespace {

using poph::bf16;

template <class A, class T>
A operand(T value, bool tf32) {
  if constexpr (std::is_same_v<T, float>)
    // 10 bits of fraction
    if (tf32) return std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x1000u) & 0xffffe000u);
  return static_cast<A>(value);
}

template <class In, class Out, class A>
void multiply(bool ta, bool tb, int64_t m, int64_t n, int64_t k, A alpha, const In* a, int64_t lda, const In* b,
              int64_t ldb, A beta, Out* c, int64_t ldc, bool tf32) {
  for (int64_t column = 0; column < n; ++column)
    for (int64_t row = 0; row < m; ++row) {
      A total = 0;
      for (int64_t i = 0; i < k; ++i)
        total += operand<A>(a[ta ? i + row * lda : row + i * lda], tf32) *
                 operand<A>(b[tb ? column + i * ldb : i + column * ldb], tf32);
      Out& to = c[row + column * ldc];
      to = Out(beta == 0 ? alpha * total : alpha * total + beta * static_cast<A>(to));
    }
}

}  // namespace

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "success"
         : status == CUBLAS_STATUS_INVALID_VALUE ? "an unsupported value or parameter was passed to the function"
                                                 : "the functionality requested is not supported";
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) { return *handle = new cublasContext{}, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return handle->stream = stream, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void* workspace, size_t) {
  return poph::emulator::is_device_memory(workspace) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                          int n, int k, const void* alpha, const void* a, cudaDataType_t a_type,
                                          int lda, long long stride_a, const void* b, cudaDataType_t b_type, int ldb,
                                          long long stride_b, const void* beta, void* c, cudaDataType_t c_type, int ldc,
                                          long long stride_c, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  const bool ta = op_a == CUBLAS_OP_T, tb = op_b == CUBLAS_OP_T;
  if (m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) ||
      ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  const auto queue = [&]<class In, class Out, class A>(In, Out, A) {
    // read now: the caller's are gone later
    const A factor = *static_cast<const A*>(alpha), share_of_c = *static_cast<const A*>(beta);
    const auto* x = static_cast<const In*>(a);
    const auto* y = static_cast<const In*>(b);
    auto* z = static_cast<Out*>(c);
    const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    return poph::emulator::enqueue(handle->stream,
                                   [=] {
                                     for (int i = 0; i < batch; ++i)
                                       multiply(ta, tb, m, n, k, factor, x + i * stride_a, lda, y + i * stride_b, ldb,
                                                share_of_c, z + i * stride_c, ldc, tf32);
                                   }) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_NOT_SUPPORTED;
  };
  if (a_type != b_type || (a_type == CUDA_R_64F) != (compute == CUBLAS_COMPUTE_64F)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (a_type == CUDA_R_64F && c_type == CUDA_R_64F) return queue(double{}, double{}, double{});
  if (a_type == CUDA_R_32F && c_type == CUDA_R_32F) return queue(float{}, float{}, float{});
  if (a_type == CUDA_R_16BF && c_type == CUDA_R_16BF) return queue(bf16{}, bf16{}, float{});
  if (a_type == CUDA_R_16BF && c_type == CUDA_R_32F) return queue(bf16{}, float{}, float{});
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

#pragma once
#include <sys/resource.h>

#include <chrono>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "tensor/device.h"

// Shared by all measurements. A server says in one line of JSON what it measures; then each line of standard input
// asks for one measurement and is answered by one line of JSON. So the harness can let it and a peer take turns.
namespace poph {

using Json = nlohmann::ordered_json;

// Wall and CPU seconds of all threads, the GPU's work included.
class DeviceStopwatch {
 public:
  explicit DeviceStopwatch(Device device) : device_(device) { lap(); }

  Json lap() {  // since the last one
    synchronize(device_);
    const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
                 cpu = cpu_seconds();
    const Json spent{{"wall", wall - wall_}, {"cpu", cpu - cpu_}};
    wall_ = wall;
    cpu_ = cpu;
    return spent;
  }

 private:
  static double cpu_seconds() {
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    const auto of = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return of(used.ru_utime) + of(used.ru_stime);
  }

  Device device_;
  double wall_ = 0, cpu_ = 0;
};

// The peak memory of this process: resident, and on a GPU in tensors.
double peak_megabytes(Device device);

using Measure = std::function<Json(const std::string& request)>;
void serve(const Json& about, const Measure& measure);

}  // namespace poph

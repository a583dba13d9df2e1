#pragma once
#include <cstdint>
#include <vector>

#include "nn/blocks/columns.h"

// The weights of the particles that compose one piece together (MODEL.md "Conditions"): sequential Monte Carlo as in
// Doucet and Johansen 2011, "A tutorial on particle filtering and smoothing: fifteen years later", with systematic
// resampling. It knows no model and no music.
namespace poph {

class Particles {
 public:
  explicit Particles(int64_t count) : log_weights_(count, 0.0), smallest_(static_cast<double>(count)) {}

  // The particle took a given value that had this probability.
  void weigh(int64_t particle, double log_probability) { log_weights_[particle] += log_probability; }

  // At a step's end. Where the effective sample size is below half of the particles, they are drawn anew: particle i
  // goes on as that of the result's place i, and all weigh the same. Otherwise the result is empty. uniform: in [0, 1).
  Columns end_step(double uniform);

  int64_t draw(double uniform) const;  // one particle, by weight
  int64_t heaviest() const;

  double effective_size() const;  // (sum of w)^2 / sum of w^2
  // Of all steps' ends.
  double smallest_effective_size() const { return smallest_; }
  int64_t resampled() const { return resampled_; }
  // The estimate of the log probability of all that was given so far: the log mean weights, added up.
  double log_probability() const { return log_probability_ + log_mean_weight(); }

 private:
  std::vector<double> weights() const;  // that sum to 1
  double log_mean_weight() const;

  std::vector<double> log_weights_;
  double log_probability_ = 0, smallest_;  // log_probability_: until they were drawn anew last
  int64_t resampled_ = 0;
};

}  // namespace poph

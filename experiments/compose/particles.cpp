#include "experiments/compose/particles.h"

#include <algorithm>
#include <cmath>

namespace poph {

std::vector<double> Particles::weights() const {
  const double most = *std::max_element(log_weights_.begin(), log_weights_.end());
  std::vector<double> weights;
  double sum = 0;
  for (const double log_weight : log_weights_) sum += weights.emplace_back(std::exp(log_weight - most));
  for (double& weight : weights) weight /= sum;
  return weights;
}

double Particles::log_mean_weight() const {
  const double most = *std::max_element(log_weights_.begin(), log_weights_.end());
  double sum = 0;
  for (const double log_weight : log_weights_) sum += std::exp(log_weight - most);
  return most + std::log(sum / static_cast<double>(log_weights_.size()));
}

double Particles::effective_size() const {
  double squares = 0;
  for (const double weight : weights()) squares += weight * weight;
  return 1 / squares;
}

Columns Particles::end_step(double uniform) {
  const double size = effective_size(), count = static_cast<double>(log_weights_.size());
  smallest_ = std::min(smallest_, size);
  if (size >= count / 2) return {};
  const std::vector<double> weight = weights();
  Columns ancestors;
  double reached = weight[0];
  for (size_t i = 0, from = 0; i < weight.size(); ++i) {
    const double at = (static_cast<double>(i) + uniform) / count;
    while (at >= reached && from + 1 < weight.size()) reached += weight[++from];
    ancestors.push_back(static_cast<int64_t>(from));
  }
  log_probability_ += log_mean_weight();
  std::fill(log_weights_.begin(), log_weights_.end(), 0.0);
  ++resampled_;
  return ancestors;
}

int64_t Particles::heaviest() const {
  return std::max_element(log_weights_.begin(), log_weights_.end()) - log_weights_.begin();
}

int64_t Particles::draw(double uniform) const {
  const std::vector<double> weight = weights();
  double reached = weight[0];
  size_t drawn = 0;
  while (uniform >= reached && drawn + 1 < weight.size()) reached += weight[++drawn];
  return static_cast<int64_t>(drawn);
}

}  // namespace poph

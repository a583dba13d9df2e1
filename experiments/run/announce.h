#pragma once
#include <string>

#include "experiments/config/config.h"
#include "experiments/run/run_data.h"
#include "experiments/workspace/console.h"
#include "nn/biaxial.h"

// The lines that a run prints before it trains: about the machine, its music and its model.
namespace poph {

std::string poph_program();  // the path of the program poph, as the user can type it

void say_machine(Precision precision, Device device, Progress& progress);
void say_data(const RunData& data, const Config& config, Progress& progress);
void say_model(Biaxial& model, const Config& config, Progress& progress);  // the shapes, layer by layer

}  // namespace poph

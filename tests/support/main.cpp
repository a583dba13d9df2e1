#include <boost/test/results_collector.hpp>
#include <boost/test/tree/traverse.hpp>
#include <boost/test/tree/visitor.hpp>
#include <boost/test/unit_test.hpp>
#include <iostream>

// Ends every run of the tests with a line `N passed, N failed, N skipped`, counted over test cases. Boost's own report
// leaves out cases whose suite is skipped (all of the GPU's where there is none).
namespace {

using namespace boost::unit_test;

struct Tally : test_tree_visitor {
  int passed = 0, failed = 0, skipped = 0;
  bool in_skipped_suite = false;

  void visit(const test_case& one) override {
    if (!one.is_enabled()) return;  // not asked for on the command line
    const test_results& result = results_collector.results(one.p_id);
    ++(in_skipped_suite || result.p_skipped ? skipped : result.passed() ? passed : failed);
  }
  bool test_suite_start(const test_suite& suite) override {
    if (results_collector.results(suite.p_id).p_skipped) in_skipped_suite = true;
    return true;
  }
  void test_suite_finish(const test_suite& suite) override {
    if (results_collector.results(suite.p_id).p_skipped) in_skipped_suite = false;
  }
};

struct ClosingLine : test_observer {
  void test_finish() override {
    Tally tally;
    traverse_test_tree(framework::master_test_suite(), tally);
    std::cout << tally.passed << " passed, " << tally.failed << " failed, " << tally.skipped << " skipped" << std::endl;
  }
  int priority() override { return 100; }  // after the collector of results
};

struct Registration {
  ClosingLine closing_line;
  Registration() { framework::register_observer(closing_line); }
  ~Registration() { framework::deregister_observer(closing_line); }
};
BOOST_TEST_GLOBAL_CONFIGURATION(Registration);

}  // namespace

// Written out because BOOST_TEST_MODULE, which makes it, comes too late where <boost/test/unit_test.hpp> is
// precompiled.
int main(int argc, char** argv) {
  const auto begin = [] {
    framework::master_test_suite().p_name.value = "poph";
    return true;
  };
  return unit_test_main(begin, argc, argv);
}

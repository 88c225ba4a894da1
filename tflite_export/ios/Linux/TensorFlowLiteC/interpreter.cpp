// TensorFlow Lite's C API over the interpreter that the simulation's own TensorFlow brings along:
// libtensorflow_cc.so exports the C++ classes that the framework for iOS wraps, but not its C functions.
// The runtime is real; this file only forwards.

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "TensorFlowLiteC.h"

// TensorFlow's wheel has no headers for these classes. Declared is what is called, and what of their
// layout is relied on, of version 2.14; the linker tells whether the functions are still there.
namespace tflite {

class ErrorReporter;
class InterpreterOptions;
class OpResolver;
ErrorReporter *DefaultErrorReporter();

class Subgraph {
public:
    TfLiteStatus AllocateTensors();
};

namespace impl {

class FlatBufferModel {
public:
    static std::unique_ptr<FlatBufferModel> BuildFromFile(const char *path, ErrorReporter *reporter);
    ~FlatBufferModel();
};

class SignatureRunner {
public:
    TfLiteTensor *input_tensor(const char *name);
    const TfLiteTensor *output_tensor(const char *name) const;
    TfLiteStatus ResizeInputTensor(const char *name, const std::vector<int> &shape);
    TfLiteStatus Invoke();

    const void *definition;
    Subgraph *subgraph;
    std::vector<const char *> input_names;
    std::vector<const char *> output_names;
};

class Interpreter {
public:
    ~Interpreter();
    SignatureRunner *GetSignatureRunner(const char *key);
};

// More room than these two take up, which is some hundred bytes.
class InterpreterBuilder {
public:
    InterpreterBuilder(const FlatBufferModel &, const OpResolver &, const InterpreterOptions *);
    ~InterpreterBuilder();
    TfLiteStatus operator()(std::unique_ptr<Interpreter> *interpreter, int threads);

private:
    alignas(64) char room[8192];
};

}  // namespace impl

namespace ops::builtin {

class BuiltinOpResolver {
public:
    BuiltinOpResolver();

private:
    alignas(64) char room[8192];
};

}  // namespace ops::builtin
}  // namespace tflite

using tflite::impl::FlatBufferModel;
using tflite::impl::Interpreter;
using tflite::impl::InterpreterBuilder;
using tflite::impl::SignatureRunner;

struct TfLiteModel {
    std::unique_ptr<FlatBufferModel> model;
};

struct TfLiteInterpreterOptions {
    int threads = -1;
};

struct TfLiteInterpreter {
    std::unique_ptr<Interpreter> interpreter;
};

struct TfLiteSignatureRunner {
    SignatureRunner *runner;
};

TfLiteModel *TfLiteModelCreateFromFile(const char *path) {
    auto model = FlatBufferModel::BuildFromFile(path, tflite::DefaultErrorReporter());
    return model ? new TfLiteModel{std::move(model)} : nullptr;
}

void TfLiteModelDelete(TfLiteModel *model) { delete model; }

TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate() { return new TfLiteInterpreterOptions; }

void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions *options) { delete options; }

void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *options, int32_t threads) {
    options->threads = threads;
}

TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *model, const TfLiteInterpreterOptions *options) {
    // Never deleted: its destructor is virtual, and its table is not declared here.
    static const auto &resolver =
        *reinterpret_cast<const tflite::OpResolver *>(new tflite::ops::builtin::BuiltinOpResolver);
    std::unique_ptr<Interpreter> interpreter;
    InterpreterBuilder builder(*model->model, resolver, nullptr);
    if (builder(&interpreter, options->threads) != kTfLiteOk) return nullptr;
    return interpreter ? new TfLiteInterpreter{std::move(interpreter)} : nullptr;
}

void TfLiteInterpreterDelete(TfLiteInterpreter *interpreter) { delete interpreter; }

TfLiteSignatureRunner *TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter *interpreter, const char *key) {
    SignatureRunner *runner = interpreter->interpreter->GetSignatureRunner(key);
    return runner ? new TfLiteSignatureRunner{runner} : nullptr;
}

// The signature itself is the interpreter's.
void TfLiteSignatureRunnerDelete(TfLiteSignatureRunner *runner) { delete runner; }

TfLiteTensor *TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner *runner, const char *name) {
    return runner->runner->input_tensor(name);
}

TfLiteStatus TfLiteSignatureRunnerResizeInputTensor(
    TfLiteSignatureRunner *runner, const char *name, const int *dimensions, int32_t count) {
    return runner->runner->ResizeInputTensor(name, std::vector<int>(dimensions, dimensions + count));
}

TfLiteStatus TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner *runner) {
    return runner->runner->subgraph->AllocateTensors();
}

TfLiteStatus TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner *runner) { return runner->runner->Invoke(); }

size_t TfLiteSignatureRunnerGetOutputCount(const TfLiteSignatureRunner *runner) {
    return runner->runner->output_names.size();
}

const char *TfLiteSignatureRunnerGetOutputName(const TfLiteSignatureRunner *runner, int32_t index) {
    return runner->runner->output_names.at(index);
}

const TfLiteTensor *TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner *runner, const char *name) {
    return runner->runner->output_tensor(name);
}

TfLiteType TfLiteTensorType(const TfLiteTensor *tensor) { return tensor->type; }

int32_t TfLiteTensorNumDims(const TfLiteTensor *tensor) { return tensor->dims->size; }

int32_t TfLiteTensorDim(const TfLiteTensor *tensor, int32_t index) { return tensor->dims->data[index]; }

void *TfLiteTensorData(const TfLiteTensor *tensor) { return tensor->data; }

TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor *tensor, const void *content, size_t bytes) {
    if (tensor->bytes != bytes) return kTfLiteError;
    std::memcpy(tensor->data, content, bytes);
    return kTfLiteOk;
}

// What LiteRTRuntime.swift uses of TensorFlow Lite's C API, as its documentation has it. On Apple's
// systems the framework of this name declares it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef enum { kTfLiteNoType = 0, kTfLiteFloat32 = 1, kTfLiteInt32 = 2 } TfLiteType;

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteSignatureRunner TfLiteSignatureRunner;

// Its first members, which are part of the C API. No tensor is made here: they are the interpreter's.
typedef struct {
    int size;
    int data[];
} TfLiteIntArray;

typedef struct {
    TfLiteType type;
    void *data;
    TfLiteIntArray *dims;
    struct {
        float scale;
        int32_t zero_point;
    } params;
    int allocation_type;
    size_t bytes;
} TfLiteTensor;

TfLiteModel *TfLiteModelCreateFromFile(const char *path);
void TfLiteModelDelete(TfLiteModel *model);

TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions *options);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *options, int32_t threads);

TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *model, const TfLiteInterpreterOptions *options);
void TfLiteInterpreterDelete(TfLiteInterpreter *interpreter);
TfLiteSignatureRunner *TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter *interpreter, const char *key);

void TfLiteSignatureRunnerDelete(TfLiteSignatureRunner *runner);
TfLiteTensor *TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner *runner, const char *name);
TfLiteStatus TfLiteSignatureRunnerResizeInputTensor(
    TfLiteSignatureRunner *runner, const char *name, const int *dimensions, int32_t count);
TfLiteStatus TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner *runner);
TfLiteStatus TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner *runner);
size_t TfLiteSignatureRunnerGetOutputCount(const TfLiteSignatureRunner *runner);
const char *TfLiteSignatureRunnerGetOutputName(const TfLiteSignatureRunner *runner, int32_t index);
const TfLiteTensor *TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner *runner, const char *name);

TfLiteType TfLiteTensorType(const TfLiteTensor *tensor);
int32_t TfLiteTensorNumDims(const TfLiteTensor *tensor);
int32_t TfLiteTensorDim(const TfLiteTensor *tensor, int32_t index);
void *TfLiteTensorData(const TfLiteTensor *tensor);
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor *tensor, const void *content, size_t bytes);

#ifdef __cplusplus
}
#endif

// SPDX-License-Identifier: Apache-2.0
// server.cc: grpc.testing.TestService on gRPC's C++ library.
//
//     interop_peer_server --port=0 [--use_tls --tls_cert_file=F --tls_key_file=F]
//
// Prints "listening on PORT" once it serves, and serves until it is killed.
#include <unistd.h>

#include <chrono>
#include <thread>

#include "peer.h"

namespace
{

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using grpc::testing::EchoStatus;
using grpc::testing::InteropServerContextInspector;
using grpc::testing::ResponseParameters;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;

void EchoMetadata(ServerContext *context)
{
    const auto &given = context->client_metadata();
    auto initial = given.find(peer::kEchoInitial);
    if (initial != given.end()) {
        context->AddInitialMetadata(peer::kEchoInitial,
                                    std::string(initial->second.data(), initial->second.size()));
    }
    auto trailing = given.find(peer::kEchoTrailing);
    if (trailing != given.end()) {
        context->AddTrailingMetadata(peer::kEchoTrailing,
                                     std::string(trailing->second.data(), trailing->second.size()));
    }
}

template <class Request> Status CameAsExpected(const Request &request, const ServerContext &context)
{
    if (request.has_expect_compressed() &&
        request.expect_compressed().value() !=
            InteropServerContextInspector::WasCompressed(context)) {
        return Status(StatusCode::INVALID_ARGUMENT, "the request is not compressed as it says");
    }
    return Status::OK;
}

template <class Request> Status Payloads(const Request &request)
{
    return request.response_type() == grpc::testing::COMPRESSABLE
               ? Status::OK
               : Status(StatusCode::INVALID_ARGUMENT, "no such payload");
}

Status Echoed(const EchoStatus &status)
{
    return Status(static_cast<StatusCode>(status.code()), status.message());
}

class Service final : public grpc::testing::TestService::Service
{
  public:
    Status EmptyCall(ServerContext *context, const grpc::testing::Empty *,
                     grpc::testing::Empty *) override
    {
        EchoMetadata(context);
        return Status::OK;
    }

    Status UnaryCall(ServerContext *context, const SimpleRequest *request,
                     SimpleResponse *response) override
    {
        EchoMetadata(context);
        Status status = CameAsExpected(*request, *context);
        if (status.ok() && request->has_response_status()) {
            status = Echoed(request->response_status());
        }
        if (status.ok()) {
            status = Payloads(*request);
        }
        if (!status.ok()) {
            return status;
        }
        if (request->has_response_compressed()) {
            context->set_compression_algorithm(
                request->response_compressed().value() ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE);
        }
        if (request->response_size() > 0) {
            peer::Fill(response->mutable_payload(), request->response_size());
        }
        if (request->fill_server_id()) {
            response->set_server_id("peer-" + std::to_string(getpid()));
        }
        return Status::OK;
    }

    Status StreamingOutputCall(ServerContext *context, const StreamingOutputCallRequest *request,
                               grpc::ServerWriter<StreamingOutputCallResponse> *writer) override
    {
        EchoMetadata(context);
        for (const auto &each : request->response_parameters()) {
            if (each.has_compressed()) { /* the algorithm is the call's; each message may do without */
                context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
            }
        }
        return Answer(context, *request, writer);
    }

    Status StreamingInputCall(ServerContext *context,
                              grpc::ServerReader<StreamingInputCallRequest> *reader,
                              StreamingInputCallResponse *response) override
    {
        EchoMetadata(context);
        StreamingInputCallRequest request;
        size_t total = 0;
        while (reader->Read(&request)) {
            Status status = CameAsExpected(request, *context);
            if (!status.ok()) {
                return status;
            }
            total += request.payload().body().size();
        }
        response->set_aggregated_payload_size(static_cast<int>(total));
        return Status::OK;
    }

    Status FullDuplexCall(ServerContext *context,
                          grpc::ServerReaderWriter<StreamingOutputCallResponse,
                                                   StreamingOutputCallRequest> *stream) override
    {
        EchoMetadata(context);
        StreamingOutputCallRequest request;
        while (stream->Read(&request)) {
            Status status = Answer(context, request, stream);
            if (!status.ok()) {
                return status;
            }
        }
        return Status::OK;
    }

    Status HalfDuplexCall(ServerContext *context,
                          grpc::ServerReaderWriter<StreamingOutputCallResponse,
                                                   StreamingOutputCallRequest> *stream) override
    {
        EchoMetadata(context);
        std::vector<StreamingOutputCallRequest> requests;
        StreamingOutputCallRequest request;
        while (stream->Read(&request)) {
            requests.push_back(request);
        }
        for (const auto &each : requests) {
            Status status = Answer(context, each, stream);
            if (!status.ok()) {
                return status;
            }
        }
        return Status::OK;
    }

  private:
    template <class Writer>
    static Status Answer(ServerContext *context, const StreamingOutputCallRequest &request,
                         Writer *writer)
    {
        if (request.has_response_status()) {
            return Echoed(request.response_status());
        }
        Status status = Payloads(request);
        if (!status.ok()) {
            return status;
        }
        for (const ResponseParameters &each : request.response_parameters()) {
            if (each.interval_us() > 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(each.interval_us()));
            }
            StreamingOutputCallResponse response;
            peer::Fill(response.mutable_payload(), each.size());
            grpc::WriteOptions options;
            if (!each.compressed().value()) {
                options.set_no_compression();
            }
            if (context->IsCancelled() || !writer->Write(response, options)) {
                return Status(StatusCode::CANCELLED, "nobody reads");
            }
        }
        return Status::OK;
    }
};

} // namespace

int main(int argc, char **argv)
{
    peer::Flags flags(argc, argv);
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (flags.True("use_tls")) {
        grpc::SslServerCredentialsOptions options;
        options.pem_key_cert_pairs.push_back({peer::ReadFile(flags.Text("tls_key_file", "")),
                                              peer::ReadFile(flags.Text("tls_cert_file", ""))});
        credentials = grpc::SslServerCredentials(options);
    }
    Service service;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort("127.0.0.1:" + flags.Text("port", "0"), credentials, &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    peer::Check(server != nullptr && port > 0, "the port can't be had");
    std::cout << "listening on " << port << std::endl;
    server->Wait();
    return 0;
}

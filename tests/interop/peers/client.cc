// SPDX-License-Identifier: Apache-2.0
// client.cc: the cases of the interop test on gRPC's C++ library.
//
//     interop_peer_client --server_host=H --server_port=P --test_case=NAME [--use_tls --ca_file=F
//                         --server_host_override=NAME] [--soak_iterations=N ...]
//
// Ends with code 0 when the case passed; says on stderr what failed otherwise.
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "peer.h"

namespace
{

using grpc::ClientContext;
using grpc::Status;
using grpc::StatusCode;
using grpc::testing::InteropClientContextInspector;
using grpc::testing::SimpleRequest;
using grpc::testing::SimpleResponse;
using grpc::testing::StreamingInputCallRequest;
using grpc::testing::StreamingInputCallResponse;
using grpc::testing::StreamingOutputCallRequest;
using grpc::testing::StreamingOutputCallResponse;
using grpc::testing::TestService;
using peer::Check;
using peer::Fail;

const int kLargeRequest = 271828;
const int kLargeResponse = 314159;
const int kConcurrent = 1000;

class Client
{
  public:
    explicit Client(const peer::Flags &flags) : flags_(flags)
    {
        channel_ = NewChannel();
        stub_ = TestService::NewStub(channel_);
    }

    std::shared_ptr<grpc::Channel> NewChannel()
    {
        std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
        grpc::ChannelArguments arguments;
        if (flags_.True("use_tls")) {
            grpc::SslCredentialsOptions options;
            options.pem_root_certs = peer::ReadFile(flags_.Text("ca_file", ""));
            credentials = grpc::SslCredentials(options);
            std::string name = flags_.Text("server_host_override", "");
            if (!name.empty()) {
                arguments.SetSslTargetNameOverride(name);
            }
        }
        /* Each of them connects by itself: channel_soak means connections. */
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        std::string address =
            flags_.Text("server_host", "localhost") + ":" + flags_.Text("server_port", "");
        return grpc::CreateCustomChannel(flags_.Text("server_target", address), credentials,
                                         arguments);
    }

    static void CheckOk(const Status &status)
    {
        Check(status.ok(),
              "status " + std::to_string(status.error_code()) + ": " + status.error_message());
    }

    static void CheckCode(const Status &status, StatusCode wanted)
    {
        Check(status.error_code() == wanted, "status " + std::to_string(status.error_code()) +
                                                 ": " + status.error_message() + ", wanted " +
                                                 std::to_string(wanted));
    }

    static SimpleRequest LargeRequest(int request_size, int response_size)
    {
        SimpleRequest request;
        request.set_response_size(response_size);
        peer::Fill(request.mutable_payload(), request_size);
        return request;
    }

    static void CheckBody(const grpc::testing::Payload &payload, int size)
    {
        Check(payload.type() == grpc::testing::COMPRESSABLE, "another type of payload");
        Check(payload.body() == std::string(static_cast<size_t>(size), '\0'),
              "the payload has " + std::to_string(payload.body().size()) +
                  " bytes, or is not zeros");
    }

    static void Large(TestService::Stub *stub, int request_size, int response_size)
    {
        ClientContext context;
        SimpleResponse response;
        CheckOk(stub->UnaryCall(&context, LargeRequest(request_size, response_size), &response));
        CheckBody(response.payload(), response_size);
    }

    void EmptyUnary()
    {
        ClientContext context;
        grpc::testing::Empty request, response;
        CheckOk(stub_->EmptyCall(&context, request, &response));
        Check(response.ByteSizeLong() == 0, "the answer is not empty");
    }

    void LargeUnary()
    {
        Large(stub_.get(), kLargeRequest, kLargeResponse);
    }

    Status CompressedUnary(bool compress, bool expected)
    {
        ClientContext context;
        context.set_compression_algorithm(compress ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE);
        SimpleRequest request = LargeRequest(kLargeRequest, kLargeResponse);
        request.mutable_expect_compressed()->set_value(expected);
        SimpleResponse response;
        Status status = stub_->UnaryCall(&context, request, &response);
        if (status.ok()) {
            CheckBody(response.payload(), kLargeResponse);
        }
        return status;
    }

    void ClientCompressedUnary()
    {
        CheckCode(CompressedUnary(false, true), StatusCode::INVALID_ARGUMENT);
        CheckOk(CompressedUnary(true, true));
        CheckOk(CompressedUnary(false, false));
    }

    void ServerCompressedUnary()
    {
        for (bool compressed : {true, false}) {
            ClientContext context;
            SimpleRequest request = LargeRequest(kLargeRequest, kLargeResponse);
            request.mutable_response_compressed()->set_value(compressed);
            SimpleResponse response;
            CheckOk(stub_->UnaryCall(&context, request, &response));
            Check(InteropClientContextInspector::WasCompressed(context) == compressed,
                  compressed ? "the answer is not compressed" : "the answer is compressed");
            CheckBody(response.payload(), kLargeResponse);
        }
    }

    void ClientStreaming()
    {
        ClientContext context;
        StreamingInputCallResponse response;
        auto stream = stub_->StreamingInputCall(&context, &response);
        for (int size : {27182, 8, 1828, 45904}) {
            StreamingInputCallRequest request;
            peer::Fill(request.mutable_payload(), size);
            Check(stream->Write(request), "a message could not be sent");
        }
        stream->WritesDone();
        CheckOk(stream->Finish());
        Check(response.aggregated_payload_size() == 74922, "the sum is wrong");
    }

    void ClientCompressedStreaming()
    {
        {
            ClientContext context;
            context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
            StreamingInputCallResponse response;
            auto stream = stub_->StreamingInputCall(&context, &response);
            SendInput(stream.get(), 27182, false, true);
            stream->WritesDone();
            CheckCode(stream->Finish(), StatusCode::INVALID_ARGUMENT);
        }
        ClientContext context;
        context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
        StreamingInputCallResponse response;
        auto stream = stub_->StreamingInputCall(&context, &response);
        SendInput(stream.get(), 27182, true, true);
        SendInput(stream.get(), 45904, false, false);
        stream->WritesDone();
        CheckOk(stream->Finish());
        Check(response.aggregated_payload_size() == 73086, "the sum is wrong");
    }

    void ServerStreaming()
    {
        ClientContext context;
        StreamingOutputCallRequest request;
        std::vector<int> sizes = {31415, 9, 2653, 58979};
        for (int size : sizes) {
            request.add_response_parameters()->set_size(size);
        }
        auto stream = stub_->StreamingOutputCall(&context, request);
        StreamingOutputCallResponse response;
        for (int size : sizes) {
            Check(stream->Read(&response), "a message is missing");
            CheckBody(response.payload(), size);
        }
        Check(!stream->Read(&response), "a message too many");
        CheckOk(stream->Finish());
    }

    void ServerCompressedStreaming()
    {
        ClientContext context;
        StreamingOutputCallRequest request;
        const std::vector<std::pair<int, bool>> wanted = {{31415, true}, {92653, false}};
        for (const auto &each : wanted) {
            auto *parameters = request.add_response_parameters();
            parameters->set_size(each.first);
            parameters->mutable_compressed()->set_value(each.second);
        }
        auto stream = stub_->StreamingOutputCall(&context, request);
        StreamingOutputCallResponse response;
        for (const auto &each : wanted) {
            Check(stream->Read(&response), "a message is missing");
            Check(InteropClientContextInspector::WasCompressed(context) == each.second,
                  each.second ? "a message is not compressed" : "a message is compressed");
            CheckBody(response.payload(), each.first);
        }
        Check(!stream->Read(&response), "a message too many");
        CheckOk(stream->Finish());
    }

    void PingPong()
    {
        ClientContext context;
        auto stream = stub_->FullDuplexCall(&context);
        const std::vector<std::pair<int, int>> pairs = {
            {27182, 31415}, {8, 9}, {1828, 2653}, {45904, 58979}};
        StreamingOutputCallResponse response;
        for (const auto &each : pairs) {
            SendDuplex(stream.get(), each.first, each.second);
            Check(stream->Read(&response), "an answer is missing");
            CheckBody(response.payload(), each.second);
        }
        stream->WritesDone();
        Check(!stream->Read(&response), "a message too many");
        CheckOk(stream->Finish());
    }

    void EmptyStream()
    {
        ClientContext context;
        auto stream = stub_->FullDuplexCall(&context);
        stream->WritesDone();
        StreamingOutputCallResponse response;
        Check(!stream->Read(&response), "a message came");
        CheckOk(stream->Finish());
    }

    void TimeoutOnSleepingServer()
    {
        ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
        auto stream = stub_->FullDuplexCall(&context);
        StreamingOutputCallRequest request;
        peer::Fill(request.mutable_payload(), 27182);
        stream->Write(request); /* may come too late */
        CheckCode(stream->Finish(), StatusCode::DEADLINE_EXCEEDED);
    }

    void CancelAfterBegin()
    {
        ClientContext context;
        StreamingInputCallResponse response;
        auto stream = stub_->StreamingInputCall(&context, &response);
        context.TryCancel();
        CheckCode(stream->Finish(), StatusCode::CANCELLED);
    }

    void CancelAfterFirstResponse()
    {
        ClientContext context;
        auto stream = stub_->FullDuplexCall(&context);
        SendDuplex(stream.get(), 27182, 31415);
        StreamingOutputCallResponse response;
        Check(stream->Read(&response), "the answer is missing");
        CheckBody(response.payload(), 31415);
        context.TryCancel();
        CheckCode(stream->Finish(), StatusCode::CANCELLED);
    }

    static void CheckStatus(const Status &status, const std::string &message)
    {
        CheckCode(status, StatusCode::UNKNOWN);
        Check(status.error_message() == message, "another message: " + status.error_message());
    }

    void StatusUnary(const std::string &message)
    {
        ClientContext context;
        SimpleRequest request;
        request.mutable_response_status()->set_code(2);
        request.mutable_response_status()->set_message(message);
        SimpleResponse response;
        CheckStatus(stub_->UnaryCall(&context, request, &response), message);
    }

    void StatusCodeAndMessage()
    {
        const std::string message = "test status message";
        StatusUnary(message);
        ClientContext context;
        auto stream = stub_->FullDuplexCall(&context);
        StreamingOutputCallRequest request;
        request.mutable_response_status()->set_code(2);
        request.mutable_response_status()->set_message(message);
        stream->Write(request);
        stream->WritesDone();
        StreamingOutputCallResponse response;
        Check(!stream->Read(&response), "a message came");
        CheckStatus(stream->Finish(), message);
    }

    void SpecialStatusMessage()
    {
        StatusUnary(
            "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n");
    }

    static void CheckEcho(const ClientContext &context)
    {
        const auto &initial = context.GetServerInitialMetadata();
        auto found = initial.find(peer::kEchoInitial);
        Check(found != initial.end() && found->second == "test_initial_metadata_value",
              "the initial metadata is wrong or missing");
        const auto &trailing = context.GetServerTrailingMetadata();
        found = trailing.find(peer::kEchoTrailing);
        Check(found != trailing.end() && found->second == grpc::string_ref("\xab\xab\xab", 3),
              "the trailing metadata is wrong or missing");
    }

    static void AddEcho(ClientContext *context)
    {
        context->AddMetadata(peer::kEchoInitial, "test_initial_metadata_value");
        context->AddMetadata(peer::kEchoTrailing, std::string("\xab\xab\xab", 3));
    }

    void CustomMetadata()
    {
        {
            ClientContext context;
            AddEcho(&context);
            SimpleResponse response;
            CheckOk(
                stub_->UnaryCall(&context, LargeRequest(kLargeRequest, kLargeResponse), &response));
            CheckEcho(context);
        }
        ClientContext context;
        AddEcho(&context);
        auto stream = stub_->FullDuplexCall(&context);
        SendDuplex(stream.get(), kLargeRequest, kLargeResponse);
        StreamingOutputCallResponse response;
        Check(stream->Read(&response), "the answer is missing");
        stream->WritesDone();
        Check(!stream->Read(&response), "a message too many");
        CheckOk(stream->Finish());
        CheckEcho(context);
    }

    void UnimplementedMethod()
    {
        ClientContext context;
        grpc::testing::Empty request, response;
        CheckCode(stub_->UnimplementedCall(&context, request, &response),
                  StatusCode::UNIMPLEMENTED);
    }

    void UnimplementedService()
    {
        auto stub = grpc::testing::UnimplementedService::NewStub(channel_);
        ClientContext context;
        grpc::testing::Empty request, response;
        CheckCode(stub->UnimplementedCall(&context, request, &response), StatusCode::UNIMPLEMENTED);
    }

    void PickFirstUnary()
    {
        std::string first;
        for (int i = 0; i < 100; i++) {
            ClientContext context;
            SimpleRequest request = LargeRequest(1, 1);
            request.set_fill_server_id(true);
            SimpleResponse response;
            CheckOk(stub_->UnaryCall(&context, request, &response));
            Check(!response.server_id().empty(), "the server has no id");
            first = i == 0 ? response.server_id() : first;
            Check(response.server_id() == first, "two servers answered");
        }
    }

    void Soak(bool new_channels)
    {
        int iterations = flags_.Number("soak_iterations", 10);
        int request_size = flags_.Number("soak_request_size", kLargeRequest);
        int response_size = flags_.Number("soak_response_size", kLargeResponse);
        for (int i = 0; i < iterations; i++) {
            if (new_channels) {
                channel_ = NewChannel();
                stub_ = TestService::NewStub(channel_);
            }
            Large(stub_.get(), request_size, response_size);
        }
    }

    void ConcurrentLargeUnary()
    {
        struct Call {
            ClientContext context;
            SimpleResponse response;
            Status status;
        };
        const SimpleRequest request = LargeRequest(kLargeRequest, kLargeResponse);
        std::vector<Call> calls(kConcurrent);
        std::mutex mutex;
        std::condition_variable done;
        int left = kConcurrent;
        for (Call &call : calls) {
            stub_->async()->UnaryCall(&call.context, &request, &call.response, [&](Status status) {
                std::lock_guard<std::mutex> lock(mutex);
                call.status = status;
                if (--left == 0) {
                    done.notify_one();
                }
            });
        }
        std::unique_lock<std::mutex> lock(mutex);
        done.wait(lock, [&] { return left == 0; });
        for (const Call &call : calls) {
            CheckOk(call.status);
            CheckBody(call.response.payload(), kLargeResponse);
        }
    }

  private:
    template <class Stream>
    static void SendInput(Stream *stream, int size, bool compress, bool expected)
    {
        StreamingInputCallRequest request;
        peer::Fill(request.mutable_payload(), size);
        request.mutable_expect_compressed()->set_value(expected);
        grpc::WriteOptions options;
        if (!compress) {
            options.set_no_compression();
        }
        stream->Write(request, options); /* the server may have ended the call already */
    }

    template <class Stream> static void SendDuplex(Stream *stream, int size, int answer_size)
    {
        StreamingOutputCallRequest request;
        peer::Fill(request.mutable_payload(), size);
        request.add_response_parameters()->set_size(answer_size);
        Check(stream->Write(request), "a message could not be sent");
    }

    const peer::Flags &flags_;
    std::shared_ptr<grpc::Channel> channel_;
    std::unique_ptr<TestService::Stub> stub_;
};

} // namespace

int main(int argc, char **argv)
{
    const std::map<std::string, std::function<void(Client *)>> cases = {
        {"empty_unary", [](Client *c) { c->EmptyUnary(); }},
        {"large_unary", [](Client *c) { c->LargeUnary(); }},
        {"client_compressed_unary", [](Client *c) { c->ClientCompressedUnary(); }},
        {"server_compressed_unary", [](Client *c) { c->ServerCompressedUnary(); }},
        {"client_streaming", [](Client *c) { c->ClientStreaming(); }},
        {"client_compressed_streaming", [](Client *c) { c->ClientCompressedStreaming(); }},
        {"server_streaming", [](Client *c) { c->ServerStreaming(); }},
        {"server_compressed_streaming", [](Client *c) { c->ServerCompressedStreaming(); }},
        {"ping_pong", [](Client *c) { c->PingPong(); }},
        {"empty_stream", [](Client *c) { c->EmptyStream(); }},
        {"timeout_on_sleeping_server", [](Client *c) { c->TimeoutOnSleepingServer(); }},
        {"cancel_after_begin", [](Client *c) { c->CancelAfterBegin(); }},
        {"cancel_after_first_response", [](Client *c) { c->CancelAfterFirstResponse(); }},
        {"status_code_and_message", [](Client *c) { c->StatusCodeAndMessage(); }},
        {"special_status_message", [](Client *c) { c->SpecialStatusMessage(); }},
        {"custom_metadata", [](Client *c) { c->CustomMetadata(); }},
        {"unimplemented_method", [](Client *c) { c->UnimplementedMethod(); }},
        {"unimplemented_service", [](Client *c) { c->UnimplementedService(); }},
        {"pick_first_unary", [](Client *c) { c->PickFirstUnary(); }},
        {"rpc_soak", [](Client *c) { c->Soak(false); }},
        {"channel_soak", [](Client *c) { c->Soak(true); }},
        {"concurrent_large_unary", [](Client *c) { c->ConcurrentLargeUnary(); }},
    };
    peer::Flags flags(argc, argv);
    auto found = cases.find(flags.Text("test_case", ""));
    Check(found != cases.end(), "no such case");
    Client client(flags);
    found->second(&client);
    return 0;
}

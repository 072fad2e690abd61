-- Asks the gate whether a request may pass, and answers in its place if not.
local not_for_the_question = { "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect" }
local told = { "portcullis-session", "portcullis-user", "portcullis-score", "portcullis-client", "portcullis-body" }

-- Values of a field begin at 0 in requests and answers, and at 1 in questions.
local function first(values)
    return values and (values[0] or values[1])
end

core.register_action("portcullis", { "http-req" }, function(txn, gate)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        headers[name] = {}
        for index = 0, #values do
            table.insert(headers[name], values[index])
        end
    end
    local length = first(headers["content-length"])
    for _, name in ipairs(not_for_the_question) do
        headers[name] = nil
    end
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-uri"] = { txn.sf:pathq() }
    headers["x-forwarded-host"] = { first(headers["host"]) or "" }
    headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    headers["x-original-content-length"] = { length or "" }

    local answer = core.httpclient():get({ url = gate, headers = headers, timeout = 5000 })
    -- What clients send under these names goes no further.
    for _, name in ipairs(told) do
        txn.http:req_del_header(name)
    end
    if answer and answer.status == 200 then
        for _, name in ipairs(told) do
            local value = first(answer.headers[name])
            if value and value ~= "" then
                txn.http:req_set_header(name, value)
            end
        end
        return
    end
    local reply = txn:reply({ status = answer and answer.status >= 400 and answer.status or 503 })
    if answer then
        for _, name in ipairs({ "content-type", "cache-control", "www-authenticate", "accept-signature", "retry-after",
                                "access-control-allow-origin", "access-control-expose-headers", "vary" }) do
            local value = first(answer.headers[name])
            if value then
                reply:add_header(name, value)
            end
        end
        reply:set_body(answer.body or "")
    end
    txn:done(reply)
end, 1)

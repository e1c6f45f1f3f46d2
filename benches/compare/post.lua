-- Five events a call, as a PBX posts them; each call another.
local bodies = {
  '{ "Event": "ringing", "Callerid": "05552221133", "User": "820", "Usertype": "queue", "Did": "", "Id": "%s-0" }',
  '{ "Event": "ringing", "Callerid": "05552221133", "User": "117", "Usertype": "ext", "Did": "", "Id": "%s-0" }',
  '{ "Event": "incomingcall_started", "Callerid": "05552221133", "User": "117", "Trtype": "NotDef", "Did": "", "Id": "%s-1" }',
  '{ "Event": "incoming", "Callerid": "05552221133", "User": "117", "Finishtype": "Ok", "Transfer": "False", "Did": "", "Duration": "00:06", "Id": "%s-1" }',
  '{ "Event": "ringing", "Callerid": "05552221133", "User": "204", "Usertype": "ext", "Did": "", "Id": "%s-0" }',
}
local nth = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
  local call = string.format("230307142318_%d", math.floor(nth / #bodies) + 1)
  nth = nth + 1
  return wrk.format(nil, nil, nil, string.format(bodies[nth % #bodies + 1], call))
end

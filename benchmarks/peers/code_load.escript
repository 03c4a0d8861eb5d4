#!/usr/bin/env escript
%% Prints how many ms each of COUNT versions of a module takes from its rename into FOLDER until a call is answered by
%% it, as JSON: compiled, the version before the last purged, loaded.
%%! -mode compile
main([Folder, Count]) ->
    load(Folder, 0),
    Samples = [load(Folder, Version) || Version <- lists:seq(1, list_to_integer(Count))],
    io:format("[~s]~n", [lists:join(",", [float_to_list(Ms, [{decimals, 4}]) || Ms <- Samples])]).

load(Folder, Version) ->
    Staged = filename:join(Folder, "staged"),
    Path = filename:join(Folder, "numbers.erl"),
    ok = file:write_file(Staged, io_lib:format(
        "-module(numbers).~n-export([parse/1]).~n"
        "parse(Line) ->~n"
        "    [Number, At] = binary:split(Line, <<\" \">>),~n"
        "    #{n => binary_to_integer(Number), at => binary_to_integer(At), v => ~b}.~n", [Version])),
    Began = erlang:monotonic_time(microsecond),
    ok = file:rename(Staged, Path),
    {ok, numbers, Binary} = compile:file(Path, [binary]),
    code:purge(numbers),
    {module, numbers} = code:load_binary(numbers, Path, Binary),
    #{v := Version} = numbers:parse(<<"12345 67890">>),
    (erlang:monotonic_time(microsecond) - Began) / 1000.
